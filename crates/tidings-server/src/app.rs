//! A node from start to end, to be read top to bottom: what is wired to what, what a reload may
//! change, and in which order things stop.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use hyper_util::server::graceful::GracefulShutdown;
use tidings_hub::{Epoch, LogBounds};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use crate::accept::{self, Acceptor, Timeouts};
use crate::alerts::Alerts;
use crate::broker::{Broker, Disk, Memory, Nats, OnRevoked, OnStored, Redis, Replica};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigSource, LegacyUserId};
use crate::delivery::{ConnectionId, Delivery, SharedLog, Target};
use crate::http::{Hub, Problem, Settings, Surface, router};
use crate::identity::{Authenticator, KEY_SET_REFRESH_SECS, LiveSessions, LoadError};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::revocations::Revocations;
use crate::stats::Stats;
use crate::tls::Tls;
use crate::traces::Traces;

/// How often it is seen which sessions of open streams are to be asked for again.
const RECHECK_EVERY: Duration = Duration::from_secs(1);
/// How often what has outlived its time is dropped.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How often the node's pulse is taken.
const TICK_EVERY: Duration = Duration::from_secs(1);
/// Topics that hold nothing any more but are remembered for the gap they would be.
const TOPICS_REMEMBERED_MAX: usize = 65_536;
/// How long past a heartbeat it may take a peer to acknowledge it. The next one comes within a
/// heartbeat, so a half-open connection is given up within two and this.
const USER_TIMEOUT_GRACE: Duration = Duration::from_secs(5);

/// Runs a node until it is told to stop. `source` is read again on SIGHUP.
pub(crate) async fn serve(config: Config, source: ConfigSource) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let tls = Tls::load(&config.tls)?.map(Arc::new);
    let listeners = bind(&config.listen, timeouts(&config))?;
    let admin_listeners = bind(&config.admin_listen, timeouts(&config))?;
    let hub = build(config).await?;
    let settings = hub.settings.load_full();
    let config = &settings.config;

    let timeouts = Arc::new(ArcSwap::from_pointee(timeouts(config)));
    let acceptor = Acceptor {
        router: router(
            Arc::clone(&hub),
            if admin_listeners.is_empty() { Surface::Everything } else { Surface::Public },
        ),
        stream_path: format!("{}/api/sse", config.base_path.as_str()).into(),
        delivery: config.streams.own_sockets.then(|| Arc::clone(&hub.delivery)),
        tls: tls.clone(),
        head_bytes_max: config.head_bytes_max,
        timeouts: Arc::clone(&timeouts),
        draining: hub.delivery.draining(),
    };
    let connections = Arc::new(GracefulShutdown::new());
    let mut tasks = JoinSet::new();
    for (listener, address) in listeners {
        info!(%address, "listening");
        if config.dev {
            eprint!("{}", crate::dev::banner(&settings, address, hub.clock.now().unix_ms)?);
        }
        tasks.spawn(acceptor.clone().run(listener, Arc::clone(&connections)));
    }
    let admin = Acceptor { router: router(Arc::clone(&hub), Surface::Admin), ..acceptor };
    for (listener, address) in admin_listeners {
        info!(%address, "listening for operators");
        tasks.spawn(admin.clone().run(listener, Arc::clone(&connections)));
    }
    tasks.spawn(expire(Arc::clone(&hub)));
    tasks.spawn(tick(Arc::clone(&hub)));
    tasks.spawn(refresh_keys(Arc::clone(&hub)));
    tasks.spawn(recheck_sessions(Arc::clone(&hub)));
    let watched = Arc::clone(&hub);
    let take_vitals = move || watched.metrics.vitals(watched.delivery.lag_events());
    let alerts = Alerts::start(&config.alerts, hub.clock, take_vitals)?;

    let patient = loop {
        match signals.next().await {
            Told::Reload => reload(&hub, &timeouts, tls.as_deref(), &alerts, config, &source),
            Told::Stop => break true,
            Told::Interrupt => break false,
        }
    };
    tokio::select! {
        () = stop(&hub, tasks, connections, alerts, patient) => {}
        () = signals.stop_now() => warn!("told to stop again; not waiting any longer"),
    }
    Ok(())
}

/// Readiness first, so that no more are sent here; then everyone is told to come back elsewhere.
async fn stop(
    hub: &Hub,
    mut tasks: JoinSet<()>,
    connections: Arc<GracefulShutdown>,
    alerts: Alerts,
    patient: bool,
) {
    let settings = hub.settings.load_full();
    let streams = &settings.config.streams;
    hub.delivery.leave();
    if patient && !settings.config.dev && streams.drain_delay_secs > 0 {
        info!(drain_delay_secs = streams.drain_delay_secs, "leaving: no longer ready");
        sleep(Duration::from_secs(streams.drain_delay_secs)).await;
    }
    info!(streams = hub.delivery.streams(), "closing streams");
    tasks.shutdown().await;
    hub.delivery.drain();
    let connections = Arc::into_inner(connections).expect("nobody accepts connections any more");
    let delivery = Arc::clone(&hub.delivery);
    let shards = tokio::task::spawn_blocking(move || delivery.shards().join());
    let drain = Duration::from_secs(streams.drain_secs);
    let ended = async { tokio::join!(connections.shutdown(), shards) };
    let (ended, ()) = tokio::join!(timeout(drain, ended), alerts.finish(drain));
    hub.broker.stop().await;
    if ended.is_err() {
        warn!(streams = hub.delivery.streams(), "some connections did not end in drain_secs");
    }
    hub.traces.finish().await;
    info!("stopped");
}

async fn build(config: Config) -> anyhow::Result<Arc<Hub>> {
    let clock = Clock::start();
    let runtime = Handle::current();
    let bounds = LogBounds {
        events_per_topic_max: config.log.events_per_topic_max,
        bytes_max: config.log.bytes_max,
        age_max_ms: config.log.age_max_secs * 1000,
        topics_remembered_max: TOPICS_REMEMBERED_MAX,
    };
    let epoch = Epoch::from_random(fastrand::u64(..));
    let log = Arc::new(Mutex::new(tidings_hub::Hub::new(epoch, bounds)));
    let shards = if config.streams.own_sockets { cores() } else { 0 };
    let shared_log = SharedLog::new(Arc::clone(&log), clock);
    let revocations = Arc::new(Revocations::default());
    let traces = Traces::start(&config.otlp, clock)?;
    let metrics =
        Arc::new(Metrics::new(clock, node_name(&config), shards, Problem::CODES, traces.clone()));
    let delivery =
        Delivery::start(shared_log, shards, Arc::clone(&revocations), Arc::clone(&metrics))
            .context("cannot start delivery threads")?;
    let delivery = Arc::new(delivery);
    let replica = {
        let on_stored: OnStored = Box::new({
            let delivery = Arc::clone(&delivery);
            move |events| delivery.announce(events)
        });
        let on_revoked: OnRevoked = Box::new({
            let (delivery, revocations) = (Arc::clone(&delivery), Arc::clone(&revocations));
            move |revocation| {
                revocations.adopt(revocation);
                let delivery = Arc::clone(&delivery);
                runtime.spawn(async move { delivery.close(Target::Revoked(revocation)).await });
            }
        });
        Replica::new(log, clock, Arc::clone(&metrics), on_stored, on_revoked)
    };
    let broker = match &config.broker {
        config::Broker::Memory => Broker::Memory(Memory::new(replica, config.idempotency.into())),
        config::Broker::Disk(folder) => Broker::Disk(Disk::open(folder, &config, replica)?),
        config::Broker::Redis(url) => Broker::Redis(Redis::connect(url, &config, replica).await?),
        config::Broker::Nats(url) => Broker::Nats(Nats::connect(url, &config, replica).await?),
    };
    let settings = ArcSwap::from_pointee(settings(config, None)?);
    let (limits, live_sessions) = (Limits::default(), LiveSessions::default());
    let insecure_user_ids = AtomicU64::new(0);
    let broker = Arc::new(broker);
    let readiness = Readiness::new(Arc::clone(&broker), Arc::clone(&delivery));
    let stats = Stats::new(Arc::clone(&metrics), Arc::clone(&broker), Arc::clone(&delivery), clock);
    Ok(Arc::new(Hub {
        settings,
        stats,
        readiness: Arc::new(readiness),
        broker,
        delivery,
        revocations,
        limits,
        live_sessions,
        clock,
        metrics,
        traces,
        insecure_user_ids,
    }))
}

fn timeouts(config: &Config) -> Timeouts {
    Timeouts {
        head: Duration::from_secs(config.head_timeout_secs),
        idle: Duration::from_secs(config.idle_timeout_secs),
        write_stall: Duration::from_secs(config.streams.write_stall_secs),
        peer_gone: Duration::from_secs(config.streams.heartbeat_secs) + USER_TIMEOUT_GRACE,
    }
}

/// What this node is called. Two that are started on one machine have two names, and so has one after
/// a restart: it counts anew.
fn node_name(config: &Config) -> Arc<str> {
    if let Some(name) = &config.node_name {
        return name.as_str().into();
    }
    let machine = rustix::system::uname();
    let suffix: String = (0..4).map(|_| fastrand::lowercase()).collect();
    format!("{}-{suffix}", machine.nodename().to_string_lossy()).into()
}

/// One delivery thread for each.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn settings(config: Config, previous: Option<&Settings>) -> Result<Settings, LoadError> {
    let known = previous.map(|settings| &settings.authenticator);
    let authenticator = Authenticator::load(&config, known)?;
    if config.auth.legacy_user_id == LegacyUserId::Insecure {
        let remote = config.auth.legacy_user_id_remote;
        warn!(remote, "auth.legacy_user_id is \"insecure\": anyone can claim to be anyone");
    }
    Ok(Settings { config, authenticator })
}

fn bind(
    addresses: &[SocketAddr],
    timeouts: Timeouts,
) -> anyhow::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut listeners = Vec::new();
    for &address in addresses {
        let listener = accept::listen(address, timeouts).with_context(|| {
            format!("cannot listen on {address}; choose another address with --listen")
        })?;
        let address = listener.local_addr().context("a bound socket has no address")?;
        listeners.push((listener, address));
    }
    Ok(listeners)
}

/// Ends the streams whose session has ended, or grants less than they hear.
async fn recheck_sessions(hub: Arc<Hub>) {
    let mut ticks = interval(RECHECK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let settings = hub.settings.load_full();
        let now_ms = hub.clock.now().unix_ms;
        for connection in hub.live_sessions.recheck(&settings.authenticator, now_ms).await {
            let connection = ConnectionId::from_number(connection);
            hub.delivery.close(Target::Connection(connection)).await;
        }
    }
}

async fn expire(hub: Arc<Hub>) {
    let mut ticks = interval(EXPIRE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.broker.expire();
        hub.revocations.forget(hub.clock.now().unix_ms);
        hub.limits.forget(hub.clock.uptime_ns());
        hub.metrics.flights.settle(hub.clock.uptime_ns());
    }
}

/// Takes the node's pulse. A second that was missed is not made up for: its sample is longer.
async fn tick(hub: Arc<Hub>) {
    let mut ticks = interval(TICK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        hub.stats.tick();
    }
}

/// Fetches the public keys of the tokens' issuer at the start, and again and again.
async fn refresh_keys(hub: Arc<Hub>) {
    let mut ticks = interval(Duration::from_secs(KEY_SET_REFRESH_SECS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.settings.load_full().authenticator.refresh_keys().await;
    }
}

/// All of the new settings, or none.
fn reload(
    hub: &Hub,
    accepting: &ArcSwap<Timeouts>,
    tls: Option<&Tls>,
    alerts: &Alerts,
    started_with: &Config,
    source: &ConfigSource,
) {
    let config = match source.load() {
        Ok(config) => config,
        Err(errors) => {
            error!("not reloaded, the old settings stay: {errors}");
            return;
        }
    };
    // Settings whose files cannot be read must leave the certificate as it is too.
    let settings = match settings(config, Some(&hub.settings.load())) {
        Ok(settings) => settings,
        Err(error) => {
            error!("not reloaded, the old settings stay: {error}");
            return;
        }
    };
    let config = &settings.config;
    let prepared = match alerts.prepare(&config.alerts) {
        Ok(prepared) => prepared,
        Err(error) => {
            error!("not reloaded, the old settings stay: {error}");
            return;
        }
    };
    if let Some(tls) = tls
        && let Err(error) = tls.reload(&config.tls)
    {
        error!("not reloaded, the old settings stay: {error:#}");
        return;
    }
    let waiting = started_with.needs_restart(config);
    if !waiting.is_empty() {
        warn!(settings = waiting.join(", "), "changed, but only a restart takes these over");
    }
    alerts.adopt(prepared);
    accepting.store(Arc::new(timeouts(config)));
    hub.settings.store(Arc::new(settings));
    info!("reloaded");
}

/// What a supervisor may tell a node.
enum Told {
    Reload,
    Stop,
    Interrupt,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Interrupt,
        }
    }

    async fn stop_now(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}
