//! The doors of the daemon: the control socket, and the TCP port where there is one.

use super::inbox::{DeathNotice, Inbox, Letter};
use super::meter::Exposed;
use super::{StartError, failed};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, About, Defaults, Server};
use crate::feed::Feed;
use crate::hooks::Board;
use crate::model::id::PoolId;
use crate::model::pool::DEFAULT_POOL;
use crate::ports::{ReadError, Reader, Readers};
use crate::service::{ControlSocket, Paths, open_port, token};
use crate::store::Store;
use crate::tools::Toolbox;
use crate::web::{self, Settings, Tokens, Web, Welcome};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

/// Both doors. Dropped, they end: what is answered already still goes out.
pub(super) struct Doors {
    control: Server,
    web: Web,
}

/// What both are opened onto.
pub(super) struct Hall<'a> {
    pub(super) config: &'a Config,
    pub(super) paths: &'a Paths,
    pub(super) inbox: &'a Inbox,
    pub(super) feed: &'a Arc<Feed>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) exposed: Arc<Exposed>,
    pub(super) board: &'a Arc<Board>,
}

impl Doors {
    pub(super) fn open(hall: &Hall<'_>, socket: &ControlSocket) -> Result<Doors, StartError> {
        let readers = hall.readers();
        let (web, listen_error) = hall.open_web(&readers)?;
        let mut about = hall.about();
        // systemd may have opened it elsewhere.
        about.socket = socket.path().map_or(about.socket, |path| path.display().to_string());
        about.listen = web.address().map(|address| address.to_string());
        let adoption = web.adoption();
        about.listen_error = listen_error;
        let means = control::Means {
            asker: Arc::new(hall.inbox.clone()),
            readers,
            feed: Arc::clone(hall.feed),
            clock: Arc::clone(hall.clock),
            exposition: Arc::clone(&hall.exposed) as _,
            hooks: Arc::clone(hall.board) as _,
            defaults: hall.defaults(),
            about,
            hand_over: Arc::new(move |stream, early, first| adoption.hand_over(stream, early, first)),
        };
        let listener = socket.listener().try_clone().map_err(failed)?;
        let notice = DeathNotice::new(hall.inbox, Letter::ThreadDied { name: "control" });
        Ok(Doors { control: Server::start(listener, means, notice).map_err(failed)?, web })
    }

    /// Asks both whether they still turn.
    pub(super) fn ask(&self) {
        self.control.ask();
        self.web.ask();
    }

    /// The thread that has not turned since it was asked.
    pub(super) fn silent(&self) -> Option<&'static str> {
        let control = (!self.control.is_answered()).then_some("control");
        control.or_else(|| (!self.web.is_answered()).then_some("web"))
    }

    /// Lets nobody else in; those inside stay.
    pub(super) fn close(&mut self) {
        self.control.close_door();
        self.web.close_door();
    }
}

impl Hall<'_> {
    pub(super) fn readers(&self) -> Arc<dyn Readers> {
        let (database, tasks_root) = (self.paths.database.clone(), self.paths.tasks.clone());
        Arc::new(StoreReaders { database, tasks_root })
    }

    /// The port that nobody has asked for may be taken, by the program whose port it was first; then it is done without.
    fn open_port(&self) -> Result<(Option<TcpListener>, Option<String>), StartError> {
        let Some(address) = self.config.daemon.listen else { return Ok((None, None)) };
        match open_port(address) {
            Ok(listener) => Ok((Some(listener), None)),
            Err(sentence) if self.config.daemon.listen_chosen => Err(failed(sentence)),
            Err(sentence) => {
                log::warn!("there is no page and no WebSocket: {sentence}");
                Ok((None, Some(sentence)))
            }
        }
    }

    /// Also without a port: agents come through the control socket too.
    fn open_web(&self, readers: &Arc<dyn Readers>) -> Result<(Web, Option<String>), StartError> {
        let (listener, listen_error) = self.open_port()?;
        let tokens = Tokens {
            full: token(&self.paths.token).map_err(failed)?,
            read_only: token(&self.paths.token_read_only).map_err(failed)?,
        };
        let config = &self.config.web;
        let settings = Settings {
            welcome: Welcome { hosts: config.allowed_hosts.clone(), origins: config.allowed_origins.clone() },
            require_auth: config.require_auth,
            connections_max: config.connections_max as usize,
            ..Settings::new(tokens)
        };
        let means = web::Means {
            offer: Arc::new(Toolbox::new(self.defaults(), Arc::clone(self.clock))),
            asker: Arc::new(self.inbox.clone()),
            readers: Arc::clone(readers),
            exposition: Arc::clone(&self.exposed) as _,
            feed: Arc::clone(self.feed),
            clock: Arc::clone(self.clock),
            registry: self.exposed.registry.clone(),
        };
        let notices = ["web", "web-read"].map(|name| DeathNotice::new(self.inbox, Letter::ThreadDied { name }));
        Ok((Web::start(listener, settings, means, notices).map_err(failed)?, listen_error))
    }

    fn about(&self) -> About {
        let (config, paths) = (self.config, self.paths);
        About {
            state_dir: paths.state_dir.display().to_string(),
            socket: paths.socket.display().to_string(),
            database: paths.database.display().to_string(),
            listen: None,
            listen_error: None,
            interval_seconds: config.daemon.interval.as_secs_f64(),
            max_messages: config.daemon.max_messages as usize,
            log_level: || log::max_level().to_string().to_lowercase(),
        }
    }

    fn defaults(&self) -> Defaults {
        let config = self.config;
        Defaults {
            ask_timeout: config.ask.timeout,
            watch_timeout: config.watch.timeout,
            task_timeout: config.executor.timeout,
            queue_max: config.executor.queue_max as usize,
            pool: PoolId::new(DEFAULT_POOL),
        }
    }
}

/// Opens a connection to the store for whoever reads.
struct StoreReaders {
    database: PathBuf,
    tasks_root: PathBuf,
}

impl Readers for StoreReaders {
    fn open(&self) -> Result<Box<dyn Reader>, ReadError> {
        Ok(Box::new(Store::open_for_reading(&self.database, self.tasks_root.clone())?))
    }
}
