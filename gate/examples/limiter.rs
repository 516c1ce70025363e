//! The field's request gate in one process: ten requests at work, everyone else
//! in line for up to 300 s, and its figures under the field's names.
//!
//! `cargo run -p sluice-gate --example limiter`

use std::time::Duration;

use sluice_gate::limiter::{AcquireError, FIELD_WAIT_TIMEOUT, Limiter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limiter = Limiter::builder(10)
        .queue_limit(80)
        .wait_timeout(FIELD_WAIT_TIMEOUT)
        .build()?;
    let requests: Vec<_> = (0..100)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                let permit = limiter.acquire().await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok::<_, AcquireError>(permit.wait_time())
            })
        })
        .collect();
    let mut refused = 0;
    for request in requests {
        if let Err(AcquireError::Full) = request.await? {
            refused += 1;
        }
    }
    let status = limiter.status();
    println!("{status:#?}");
    println!(
        "{} served, at most {} at a time; {refused} refused, for the queue was full",
        status.total_processed, status.peak_active
    );
    Ok(())
}
