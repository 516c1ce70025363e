//! What observers see of a gate: its status, zones, deadlines and records.

use std::collections::BTreeMap;

use libtest_mimic::Failed;
use sluice_core::redis::{Command, Reply as RedisReply};
use sluice_core::script::{self, GateKeys, Zone};
use sluice_core::slots::Slots;

use crate::backend::Backend;

/// What observers see.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    status: script::Status,
    zones: BTreeMap<Vec<u8>, Zone>,
    due: BTreeMap<Vec<u8>, u64>,
    records: usize,
}

impl Seen {
    /// Looks at the gate in Redis; `status` is the script's reply.
    pub(crate) fn look(
        backend: &mut dyn Backend,
        gate: &GateKeys,
        status: &RedisReply,
    ) -> Result<Self, Failed> {
        let mut zset = |key: &[u8]| -> Result<BTreeMap<Vec<u8>, f64>, Failed> {
            let range = Command::new("ZRANGE")
                .arg(key)
                .arg("0")
                .arg("-1")
                .arg("WITHSCORES");
            let (RedisReply::Array(rows), ..) = backend.call(&range)? else {
                return Err("ZRANGE did not answer an array".into());
            };
            let text = |reply: &RedisReply| reply.as_bytes().unwrap_or_default().to_vec();
            let rows = rows.chunks(2).map(|row| {
                let score = String::from_utf8(text(&row[1])).unwrap_or_default();
                (text(&row[0]), score.parse().unwrap_or(f64::NAN))
            });
            Ok(rows.collect())
        };
        let line = zset(gate.line())?;
        let due = zset(gate.due())?;
        let hkeys = Command::new("HKEYS").arg(gate.gate());
        let (RedisReply::Array(fields), ..) = backend.call(&hkeys)? else {
            return Err("HKEYS did not answer an array".into());
        };
        let fields = fields.iter().filter_map(RedisReply::as_bytes);
        Ok(Self {
            status: script::decode_status(status)?,
            zones: line
                .into_iter()
                .map(|(id, score)| (id, Zone::of(score)))
                .collect(),
            due: due.into_iter().map(|(id, at)| (id, at as u64)).collect(),
            // Fields that begin with a control character are the gate's own.
            records: fields.filter(|field| !field[0].is_ascii_control()).count(),
        })
    }

    /// What must be seen, by the machine.
    pub(crate) fn of(slots: &Slots<Vec<u8>>) -> Self {
        let status = slots.status();
        let mut zones = BTreeMap::new();
        let mut due = BTreeMap::new();
        for held in slots.held() {
            zones.insert(held.id.clone(), Zone::Held(held.deadline.map(|at| at.0)));
        }
        for place in slots.waiting() {
            zones.insert(place.id.clone(), Zone::Waiting(place.order));
        }
        for place in slots.absent() {
            zones.insert(place.id.clone(), Zone::Absent(place.order));
        }
        for place in slots.waiting().chain(slots.absent()) {
            due.extend(place.deadline.map(|at| (place.id.clone(), at.0)));
        }
        for (id, _, _, until) in slots.ended() {
            zones.insert(id.clone(), Zone::Ended(until.0));
        }
        Self {
            status: script::Status {
                capacity: status.config.capacity,
                held: status.held,
                offers: status.offers,
                waiting: status.waiting,
                absent: status.absent,
                remembered: status.remembered,
                stats: status.stats,
                flow: status.flow,
            },
            records: zones.len(),
            zones,
            due,
        }
    }
}

/// How long the keys are kept: those of a gate with a lease for `retain_ms` at
/// least and twice that at most, all others for ever.
pub(crate) fn kept(
    backend: &mut dyn Backend,
    gate: &GateKeys,
    retain_ms: Option<u64>,
) -> Result<(), Failed> {
    for key in [gate.gate(), gate.line(), gate.due()] {
        let (reply, ..) = backend.call(&Command::new("PTTL").arg(key))?;
        let ttl = reply.as_int().ok_or("PTTL did not answer a number")?;
        let right = match (retain_ms, ttl) {
            (_, -2) => true, // no such key
            (None, ttl) => ttl == -1,
            // A real server spends a moment between the call and this look.
            (Some(ms), ttl) => (ms as i64 - 10_000..=2 * ms as i64).contains(&ttl),
        };
        if !right {
            return Err(format!("{key:?} is kept {ttl} ms, retain is {retain_ms:?}").into());
        }
    }
    Ok(())
}
