//! Tells somebody that a node is not well: looks at its numbers again and again, and sends what there
//! is to tell to the log, to webhooks and by mail.
//!
//! What is told and when is decided by `rules`, which knows neither clocks nor targets. Where the
//! numbers come from is handed in.

mod lane;
mod mail;
mod measure;
mod notice;
mod rules;
mod signature;
mod target;
mod webhook;
mod window;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::clock::{self, Clock};
use crate::config;
use crate::metrics::Vitals;
use lane::Lane;
use notice::{About, Notice};
use rules::{News, Rules};
use target::Target;
pub(crate) use target::{SendError, TargetError};
use window::Window;

/// How long a node that stops waits for alerts that are on their way.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// What is told, at which thresholds, and to whom.
struct Plan {
    settings: config::Alerts,
    targets: Vec<Arc<Target>>,
}

/// A node's watch over itself.
pub(crate) struct Alerts {
    plan: watch::Sender<Arc<Plan>>,
    task: JoinHandle<()>,
}

/// New settings that can be taken over.
pub(crate) struct Prepared(Plan);

impl Alerts {
    /// Begins to watch. `take_vitals` is called at each look.
    pub(crate) fn start(
        settings: &config::Alerts,
        clock: Clock,
        take_vitals: impl FnMut() -> Vitals + Send + 'static,
    ) -> Result<Self, TargetError> {
        let plan = Arc::new(Plan { settings: settings.clone(), targets: Target::all(settings)? });
        let watcher = Watcher::new(Arc::clone(&plan), clock);
        let (plan, plans) = watch::channel(plan);
        let task = tokio::spawn(watcher.run(plans, take_vitals));
        Ok(Self { plan, task })
    }

    /// Sees whether new settings can be taken over, and takes nothing over yet.
    pub(crate) fn prepare(&self, settings: &config::Alerts) -> Result<Prepared, TargetError> {
        let before = Arc::clone(&self.plan.borrow());
        let targets = if before.settings.has_targets_of(settings) {
            before.targets.clone()
        } else {
            Target::all(settings)?
        };
        Ok(Prepared(Plan { settings: settings.clone(), targets }))
    }

    /// Takes them over. What was put on its way before still goes where it was to go.
    pub(crate) fn adopt(&self, Prepared(plan): Prepared) {
        self.plan.send_replace(Arc::new(plan));
    }

    /// Stops watching, and waits for a while, not longer than this, for what is on its way.
    pub(crate) async fn finish(self, within: Duration) {
        let Self { plan, mut task } = self;
        drop(plan);
        let within = within.min(FINISH_MAX);
        if timeout(within, &mut task).await.is_err() {
            task.abort();
            warn!(waited_secs = within.as_secs(), "some alerts were not sent");
        }
    }
}

/// Sends a test alert to every target once: what each is called, and what came of it.
pub(crate) async fn send_test(
    settings: &config::Alerts,
) -> Result<Vec<(String, Result<(), SendError>)>, TargetError> {
    let now_ms = clock::unix_ms();
    let notice = Notice::test(now_ms, &settings.node, fastrand::u128(..));
    let mut outcomes = Vec::new();
    if settings.log.enabled {
        log(&notice);
        outcomes.push(("alerts.log".to_owned(), Ok(())));
    }
    let targets = Target::all(settings)?;
    let sent = targets
        .iter()
        .map(|target| async { (target.name.clone(), target.send(&notice, now_ms / 1000).await) });
    outcomes.extend(join_all(sent).await);
    Ok(outcomes)
}

/// The task that watches.
struct Watcher {
    plan: Arc<Plan>,
    lanes: Vec<Lane>,
    /// One for each lane, also for those that were closed and are not empty yet.
    tasks: JoinSet<()>,
    clock: Clock,
    window: Window,
    rules: Rules,
}

impl Watcher {
    fn new(plan: Arc<Plan>, clock: Clock) -> Self {
        let (window, rules) = (Window::default(), Rules::default());
        Self { plan, lanes: Vec::new(), tasks: JoinSet::new(), clock, window, rules }
    }

    async fn run(
        mut self,
        mut plans: watch::Receiver<Arc<Plan>>,
        mut take_vitals: impl FnMut() -> Vitals,
    ) {
        self.open_lanes();
        self.window.take(self.clock.now().uptime_ms, take_vitals());
        let mut looked = Instant::now();
        loop {
            let next = looked + Duration::from_secs(self.plan.settings.every_secs);
            tokio::select! {
                changed = plans.changed() => match changed {
                    Ok(()) => self.take_over(Arc::clone(&plans.borrow_and_update())),
                    Err(_) => break,
                },
                () = sleep_until(next) => {
                    looked = Instant::now();
                    self.look(take_vitals());
                }
            }
        }
        self.lanes.clear();
        while self.tasks.join_next().await.is_some() {}
    }

    fn take_over(&mut self, plan: Arc<Plan>) {
        let is_same = self.plan.settings.has_targets_of(&plan.settings);
        self.plan = plan;
        if !is_same {
            self.open_lanes();
        }
    }

    fn open_lanes(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let targets = self.plan.targets.iter();
        let open = |target| Lane::open(Arc::clone(target), &mut self.tasks);
        self.lanes = targets.map(open).collect();
    }

    fn look(&mut self, vitals: Vitals) {
        let now = self.clock.now();
        let settings = &self.plan.settings;
        let values = self.window.take(now.uptime_ms, vitals);
        for change in self.rules.judge(now, &values, settings) {
            let notice = Notice::of(change, now, &settings.node, fastrand::u128(..));
            if settings.log.enabled {
                log(&notice);
            }
            let notice = Arc::new(notice);
            for lane in &self.lanes {
                lane.put(Arc::clone(&notice));
            }
        }
    }
}

/// Bad news is a warning.
fn log(notice: &Notice) {
    let (id, state, text) = (&notice.id, notice.state(), notice.text());
    match &notice.about {
        About::Number(change) => {
            let (measure, value, threshold) =
                (change.measure.name(), change.value, change.threshold);
            if change.news == News::Recovered {
                info!(id, state, measure, value, threshold, text, "alert");
            } else {
                warn!(id, state, measure, value, threshold, text, "alert");
            }
        }
        About::Test => warn!(id, state, text, "alert"),
    }
}
