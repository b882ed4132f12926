//! A served world: the node of the other tests behind the API, on a port that the system chose.

use crate::http::{self, Answer};
use crate::world::World;
use dsm_sdk::client::Client;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<std::io::Result<()>>>,
    _data: tempfile::TempDir,
}

impl Server {
    pub(crate) fn new() -> Server {
        let data = tempfile::tempdir().unwrap();
        let world = World::new(data.path());
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = dsm_host::api::serve(world.node.clone(), listener, async move {
            // A dropped sender means that the test is over.
            drop(stopped.await);
        });
        let served = Some(runtime.spawn(served));
        Server { world, address, runtime, stop: Some(stop), served, _data: data }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address)).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http::ask(self.address, "GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        http::ask(self.address, "POST", path, &[("content-type", kind)], body)
    }

    /// Asks the server to stop, which it does.
    pub(crate) fn stop(&mut self) {
        self.stop.take().expect("stopped once").send(()).unwrap();
        let served = self.served.take().expect("stopped once");
        // Whoever waits for the longest request, or for ever, is not done by then.
        let limit = Duration::from_secs(25);
        let ended = self.runtime.block_on(async { tokio::time::timeout(limit, served).await });
        ended.expect("the API ends soon after it is asked to").unwrap().unwrap();
    }
}
