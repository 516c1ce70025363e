//! A server in a container, through testcontainers.

use std::thread;
use std::time::Duration;

use testcontainers::core::{ContainerPort, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tokio::runtime::Runtime;

use super::Url;

/// The image used when `SLUICE_REDIS_IMAGE` names no other.
pub const DEFAULT_IMAGE: &str = "redis:7.2-bookworm";

const PORT: u16 = 6379;
/// A pull may take a while; an engine that hangs must not take for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running container; dropped, it is removed.
#[derive(Debug)]
pub(super) struct Container {
    url: Url,
    /// Both are `Some` until the drop, which needs them by value.
    running: Option<(Runtime, ContainerAsync<GenericImage>)>,
}

impl Container {
    pub(super) fn url(&self) -> Url {
        self.url.clone()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Some((runtime, container)) = self.running.take() else {
            return;
        };
        // On a thread of its own, for the caller may itself be inside a runtime.
        let _ = thread::spawn(move || {
            let _ = runtime.block_on(container.rm());
        })
        .join();
    }
}

/// Starts a container of the image, without a pull if it is there already.
pub(super) fn start(image: &str) -> Result<Container, String> {
    let (name, tag) = split(image)?;
    thread::spawn(move || run(&name, &tag))
        .join()
        .map_err(|_| "the container could not be started".to_owned())?
}

fn run(name: &str, tag: &str) -> Result<Container, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| format!("no runtime: {e}"))?;
    let started = runtime.block_on(async {
        let start = async {
            let container = GenericImage::new(name, tag)
                .with_exposed_port(ContainerPort::Tcp(PORT))
                .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"))
                .with_startup_timeout(PATIENCE)
                .start()
                .await?;
            let host = container.get_host().await?.to_string();
            let port = container.get_host_port_ipv4(PORT).await?;
            Ok::<_, testcontainers::TestcontainersError>((container, Url::plain(&host, port)))
        };
        match tokio::time::timeout(PATIENCE, start).await {
            Ok(Ok(started)) => Ok(started),
            Ok(Err(error)) => Err(first_line(&error.to_string())),
            Err(_) => Err(format!("no container within {} s", PATIENCE.as_secs())),
        }
    });
    let (container, url) = started?;
    Ok(Container {
        url,
        running: Some((runtime, container)),
    })
}

/// `name:tag`; a colon before a slash belongs to a registry's port.
fn split(image: &str) -> Result<(String, String), String> {
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    };
    if name.is_empty() || tag.is_empty() {
        return Err(format!("\"{image}\" is not name:tag"));
    }
    Ok((name.to_owned(), tag.to_owned()))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_image_is_a_name_and_a_tag() {
        let cases = [
            ("redis:7.2", Ok(("redis", "7.2"))),
            ("redis", Ok(("redis", "latest"))),
            ("host:5000/redis", Ok(("host:5000/redis", "latest"))),
            ("host:5000/redis:7", Ok(("host:5000/redis", "7"))),
            (":7", Err(())),
            ("redis:", Err(())),
        ];
        for (image, expected) in cases {
            let got = split(image).map_err(drop);
            let expected = expected.map(|(n, t)| (n.to_owned(), t.to_owned()));
            assert_eq!(got, expected, "{image}");
        }
    }
}
