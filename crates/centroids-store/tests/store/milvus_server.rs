#![expect(clippy::print_stdout, reason = "what was not tested must be seen")]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use centroids_core::CamId;
use centroids_store::{
    AddOptions, Error, Gallery, MilvusGallery, NewMember, SearchOptions, Settings,
};
use tempfile::TempDir;

use crate::engines::Engine;
use crate::support::{Numbers, member};

const DIM: usize = 16;
const BATCH: usize = 40;

/// How long a server may take until it can be used.
const START: Duration = Duration::from_secs(120);

/// A server of the test's own, which can be killed: `scripts/milvus-server` runs in the foreground. A
/// machine holds one: its etcd has a port (2380) that nothing changes.
struct Server {
    script: String,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// `None` and a line about it where no script is named.
    fn start(test: &str) -> Option<Self> {
        let Ok(script) = std::env::var("CENTROIDS_MILVUS_SERVER") else {
            println!("SKIPPED: {test}: CENTROIDS_MILVUS_SERVER names no scripts/milvus-server");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { script, folder, port, child: None };
        server.restart();
        Some(server)
    }

    fn restart(&mut self) {
        let mut command = Command::new(&self.script);
        command.arg(self.folder.path()).arg(self.port.to_string());
        self.child = Some(command.stdin(Stdio::null()).spawn().unwrap());
        self.wait_for("its port", || {
            TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())
        });
    }

    /// What `attempt` gives once it succeeds.
    fn wait_for<T>(&self, what: &str, attempt: impl Fn() -> Result<T, String>) -> T {
        let start = Instant::now();
        loop {
            match attempt() {
                Ok(done) => return done,
                Err(error) => assert!(start.elapsed() < START, "{what}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn address(&self) -> String {
        format!("milvus://127.0.0.1:{}/killed?timeout=20", self.port)
    }

    fn create(&self) -> MilvusGallery {
        self.wait_for("create", || {
            MilvusGallery::create(&self.address(), &Settings::new(DIM))
                .map_err(|error| error.to_string())
        })
    }

    fn open(&self) -> MilvusGallery {
        let open = || MilvusGallery::open(&self.address()).map_err(|error| error.to_string());
        self.wait_for("open", open)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn batch(number: usize) -> Vec<NewMember> {
    let mut numbers = Numbers(number as u64);
    let one = |i: usize| {
        let (pid, camera) = (numbers.below(30) as i64, numbers.below(3) as u32);
        member(&format!("{number}-{i}.jpg"), pid, Some(camera), &numbers.vector(DIM))
    };
    (0..BATCH).map(one).collect()
}

/// The server is killed in the middle of an addition: a clear error, nothing that was acknowledged is
/// lost, and adding again completes it without doing anything twice.
#[test]
fn an_addition_outlives_its_server() {
    let Some(mut server) = Server::start("an_addition_outlives_its_server") else { return };
    drop(server.create());
    let mut added = 0;
    for round in 0..3 {
        let (acknowledge, acknowledged) = channel();
        let gallery = server.open();
        let adding = std::thread::spawn(move || {
            for number in added.. {
                if let Err(error) = gallery.add(&batch(number), AddOptions::default()) {
                    return (number, error);
                }
                acknowledge.send(()).unwrap();
            }
            unreachable!()
        });
        acknowledged.recv_timeout(START).unwrap();
        std::thread::sleep(Duration::from_millis([150, 400, 900][round]));
        server.kill();
        let (broken_off, error) = adding.join().unwrap();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("nothing is done twice"), "{error}");
        server.restart();
        let gallery = server.open();
        let kept = gallery.members(None, None, usize::MAX).unwrap();
        let part = format!("{broken_off}-");
        let whole = kept.iter().filter(|member| !member.key.starts_with(&part)).count();
        assert_eq!(whole, broken_off * BATCH, "round {round}: what was acknowledged is there");
        let before = gallery.verify(false).unwrap();
        println!(
            "round {round}: {} problems, {} of the batch",
            before.problems.len(),
            kept.len() - whole
        );
        gallery.add(&batch(broken_off), AddOptions::default()).unwrap();
        added = broken_off + 1;
        let found = gallery.verify(false).unwrap();
        assert!(found.sound() && found.members == added * BATCH, "round {round}: {found:?}");
    }
    let gallery = server.open();
    let file = Engine::Embedded.make(&Settings::new(DIM));
    (0..added).for_each(|number| drop(file.add(&batch(number), AddOptions::default()).unwrap()));
    let query = Numbers(99).vector(DIM);
    for without_camera in [None, Some(CamId(1))] {
        let options = SearchOptions { without_camera, ..SearchOptions::default() };
        let hits = |gallery: &dyn Gallery| {
            let answers = gallery.search(&[&query], &options).unwrap();
            answers[0].hits.iter().map(|hit| (hit.pid, hit.distance)).collect::<Vec<_>>()
        };
        for (a, b) in hits(&gallery).iter().zip(hits(&*file)) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-6);
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("milvus://127.0.0.1:{port}/shop");
    let error = MilvusGallery::open(&address).map(drop).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{address}: no Milvus server answers at")), "{error}");
    assert_eq!(error.lines().count(), 1);
}
