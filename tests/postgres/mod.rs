//! A real PostgreSQL for tests: one server for each test program, and a database of its own for whoever asks.
//!
//! It listens on the loopback address alone and ends with the program that started it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for a server to answer.
const START_WITHIN: Duration = Duration::from_mins(1);
/// Settings beside the defaults. What makes commits last is left as it is.
const SETTINGS: [&str; 4] =
    ["max_connections=400", "shared_buffers=64MB", "listen_addresses=127.0.0.1", "log_min_messages=fatal"];

/// A server in a folder of its own.
#[derive(Debug)]
pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    child: Mutex<Option<Child>>,
}

/// The server that the tests of this program share.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server::new("shared");
        server.start(&[]);
        server
    })
}

impl Server {
    /// A new server that does not run yet.
    pub(crate) fn new(name: &str) -> Self {
        remove_what_is_left();
        let folder = std::env::temp_dir().join(format!("unhang-postgres-{}-{name}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        if is_root() {
            done(Command::new("chown").arg("postgres:").arg(&folder));
        }
        let server = Self { port: free_port(), child: Mutex::new(None), folder };
        let data = server.data();
        let made = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres", "--pgdata"];
        done(server.command("initdb").args(made).arg(data).stdout(Stdio::null()));
        server
    }

    /// A copy of a running one, which follows it.
    pub(crate) fn following(of: &Self, name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("unhang-postgres-{}-{name}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        if is_root() {
            done(Command::new("chown").arg("postgres:").arg(&folder));
        }
        let server = Self { port: free_port(), child: Mutex::new(None), folder };
        let port = of.port.to_string();
        let from = [
            "--host=127.0.0.1",
            "--username=postgres",
            "--checkpoint=fast",
            "--write-recovery-conf",
            "--port",
        ];
        let data = server.data();
        done(server.command("pg_basebackup").args(from).arg(port).arg("--pgdata").arg(data));
        server
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&self, settings: &[&str]) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.arg("-k").arg(&self.folder);
        for setting in SETTINGS.iter().chain(settings) {
            command.arg("-c").arg(setting);
        }
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // Its end follows that of the thread that started it, so that thread stays.
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            tell.send(command.spawn()).unwrap();
            loop {
                std::thread::park();
            }
        });
        *self.child() = Some(told.recv().unwrap().unwrap());
        let begun = Instant::now();
        while !self.answers() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(begun.elapsed() < START_WITHIN, "PostgreSQL does not answer: {}", log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let port = self.port.to_string();
        let asked = ["--quiet", "--host=127.0.0.1", "--port", &port];
        self.command("pg_isready").args(asked).status().is_ok_and(|status| status.success())
    }

    /// Ends it as a power cut would: no word to anybody, nothing written.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // Its own processes notice a moment later; a new start waits for them.
        std::fs::remove_file(self.data().join("postmaster.pid")).unwrap_or_default();
    }

    /// Makes one that follows take writes by itself.
    pub(crate) fn promote(&self) {
        done(self.command("pg_ctl").args(["promote", "--wait", "--silent", "--pgdata"]).arg(self.data()));
    }

    /// Runs statements in a database.
    pub(crate) fn run(&self, database: &str, sql: &str) -> String {
        self.try_to_run(database, sql).unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// Runs statements in a database; what it says to them, or against them.
    pub(crate) fn try_to_run(&self, database: &str, sql: &str) -> Result<String, String> {
        let port = self.port.to_string();
        let with = [
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--host=127.0.0.1",
            "--username=postgres",
        ];
        let told = Command::new(binary("psql"))
            .args(with)
            .args(["--port", &port, "--dbname", database, "--set=ON_ERROR_STOP=1", "--command", sql])
            .output()
            .unwrap();
        if !told.status.success() {
            return Err(String::from_utf8_lossy(&told.stderr).trim().to_owned());
        }
        Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    }

    /// Address of a database of its own, which is new.
    pub(crate) fn new_database(&self) -> String {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let name = format!("t{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Its own address.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program of the server, as a user that it lets be: it refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig").arg("KILL");
        if is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg(binary(program)).current_dir(&self.folder);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where Debian puts them: by version.
fn binary(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|found| found.flatten().collect::<Vec<_>>());
    let mut versions: Vec<PathBuf> =
        versions.unwrap_or_default().iter().map(std::fs::DirEntry::path).collect();
    versions.sort();
    let newest = versions.pop().map(|version| version.join("bin").join(name));
    newest.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

fn done(command: &mut Command) {
    let told = command.output().unwrap();
    assert!(told.status.success(), "{command:?}: {}", String::from_utf8_lossy(&told.stderr));
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Folders of test programs that are gone.
fn remove_what_is_left() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix("unhang-postgres-")) else {
            continue;
        };
        let owner = rest.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            std::fs::remove_dir_all(entry.path()).unwrap_or_default();
        }
    }
}

/// A new place for a store of each kind. What is kept with it keeps its folder.
pub(crate) fn places() -> [(unhang::config::Place, Option<tempfile::TempDir>); 2] {
    let dir = tempfile::tempdir().unwrap();
    let file = unhang::config::Place::File(dir.path().join("a.db"));
    [(file, Some(dir)), (place(), None)]
}

/// A new place on the server that the tests of this program share.
pub(crate) fn place() -> unhang::config::Place {
    unhang::config::Place::parse(&server().new_database()).unwrap()
}
