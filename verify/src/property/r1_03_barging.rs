//! R1.3 · No barging: a newcomer is never granted while a present waiter is
//! ahead, nor while promotion work is left over.

use super::moment::name;
use super::{Broken, Code, Moment, Property};

#[derive(Default)]
pub(super) struct NoBarging {
    premises: u64,
}

impl Property for NoBarging {
    fn code(&self) -> Code {
        Code("R1.3")
    }

    fn title(&self) -> &'static str {
        "no newcomer is granted past those who wait"
    }

    fn watch(&mut self, moment: &Moment<'_>) -> Result<(), Broken> {
        for gate in moment.gates.iter().filter(|g| g.operation.is_some()) {
            let (before, after) = (&gate.before, &gate.after);
            let mut joined = gate.joined();
            let Some(newcomer) = joined.find(|p| !before.transit.contains(&p.id)) else {
                continue;
            };
            let ahead = before
                .waiting
                .iter()
                .find(|w| {
                    after
                        .waiting
                        .iter()
                        .any(|a| a.id == w.id && a.nonce == w.nonce)
                })
                .map(name)
                .or_else(|| {
                    let popped = before.transit.first()?;
                    Some(String::from_utf8_lossy(popped).into_owned())
                });
            let Some(ahead) = ahead else { continue };
            self.premises += 1;
            if after.holder(&newcomer.id).is_some() {
                let words = format!(
                    "{} has just come and was granted, though {ahead} had been waiting",
                    name(newcomer)
                );
                return Err(Broken::at(gate.level, words));
            }
        }
        Ok(())
    }

    fn premises(&self) -> u64 {
        self.premises
    }
}
