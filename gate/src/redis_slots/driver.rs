//! The background task that owns all machines of a process.
//!
//! It carries: orders and replies to machines, commands to the link, events to
//! whoever waits for them. It decides nothing; what a client does is decided in
//! `sluice_core::client::slots`. That machines live here, and not in the futures
//! of the application, is why a future that is dropped loses no cancellation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;

use sluice_core::client::slots::{Settings, SlotsClient};
use sluice_core::client::{Ask, Client, Conn, Event, Input, Output};
use sluice_core::redis::{Bytes, Reply};
use sluice_core::script;
use sluice_core::slots::{Ended, Rejected};
use sluice_core::time::LocalTime;
use tokio::sync::mpsc::{UnboundedReceiver, WeakUnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;

use super::link::{Link, Outcome, Tag};
use super::subscription::{News, Subscription};
use super::{AcquireError, RedisPermit, ReleaseError, StatusError};
use crate::clock::{Clock, wall_clock_us};

/// What handles, permits and futures ask of the task.
pub(super) enum Order {
    Join {
        id: Bytes,
        ticket: u64,
        wait: bool,
        answer: oneshot::Sender<Result<RedisPermit, AcquireError>>,
    },
    /// The future of that join was dropped.
    Abandon {
        id: Bytes,
        ticket: u64,
    },
    Touch {
        id: Bytes,
        ticket: u64,
    },
    Release {
        id: Bytes,
        ticket: u64,
        done: Option<oneshot::Sender<Result<(), ReleaseError>>>,
    },
    Status(oneshot::Sender<Result<script::Status, StatusError>>),
    Close(oneshot::Sender<()>),
}

/// How a held slot stands, for its permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) until: Option<LocalTime>,
    pub(super) lost: Option<Ended>,
}

/// One machine, and who listens to it.
struct Actor {
    machine: SlotsClient,
    /// Tells this machine from an earlier one of the same id.
    instance: u64,
    /// Which join it serves.
    ticket: u64,
    app: App,
    farewell: Option<oneshot::Sender<Result<(), ReleaseError>>>,
    trouble: Option<Box<str>>,
    listening: bool,
    timer: Option<LocalTime>,
    /// The connection of its latest request.
    sent_on: u64,
}

enum App {
    Waiting(oneshot::Sender<Result<RedisPermit, AcquireError>>),
    Holding(watch::Sender<Standing>),
    Gone,
}

struct Question {
    answer: oneshot::Sender<Result<script::Status, StatusError>>,
    loaded: bool,
}

pub(super) struct Driver {
    pub(super) clock: Clock,
    pub(super) settings: Arc<Settings>,
    pub(super) orders: WeakUnboundedSender<Order>,
    pub(super) link: Link,
    pub(super) subscription: Subscription,
    actors: BTreeMap<Bytes, Actor>,
    timers: BTreeSet<(LocalTime, Bytes)>,
    questions: BTreeMap<u64, Question>,
    /// Inputs that follow from what was just done.
    follow_up: VecDeque<(Bytes, u64, Input)>,
    next_instance: u64,
    closed: Vec<oneshot::Sender<()>>,
    closing: bool,
}

impl Driver {
    pub(super) fn new(
        clock: Clock,
        settings: Arc<Settings>,
        orders: WeakUnboundedSender<Order>,
        link: Link,
        subscription: Subscription,
    ) -> Self {
        Self {
            clock,
            settings,
            orders,
            link,
            subscription,
            actors: BTreeMap::new(),
            timers: BTreeSet::new(),
            questions: BTreeMap::new(),
            follow_up: VecDeque::new(),
            next_instance: 0,
            closed: Vec::new(),
            closing: false,
        }
    }

    /// Runs until it was closed, or every handle is gone, and nothing is left
    /// to be given back.
    pub(super) async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut open = true;
        while !self.closing || !self.actors.is_empty() {
            let timer = self.timers.first().map(|(at, _)| self.clock.instant(*at));
            tokio::select! {
                order = orders.recv(), if open => match order {
                    Some(order) => self.order(order),
                    None => {
                        open = false;
                        self.close();
                    }
                },
                outcomes = self.link.next() => self.landed(outcomes),
                news = self.subscription.next() => self.news(&news),
                () = async {
                    match timer {
                        Some(at) => sleep_until(at).await,
                        None => pending().await,
                    }
                } => self.wake(),
            }
            self.follow_up();
        }
        for done in self.closed {
            let _ = done.send(());
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Join {
                id,
                ticket,
                wait,
                answer,
            } => self.join(id, ticket, wait, answer),
            Order::Abandon { id, ticket } => {
                if let Some(actor) = self.served(&id, ticket) {
                    actor.app = App::Gone;
                    self.ask(&id, Ask::Cancel);
                }
            }
            Order::Touch { id, ticket } => {
                if self.served(&id, ticket).is_some() {
                    self.ask(&id, Ask::Touch);
                }
            }
            Order::Release { id, ticket, done } => match self.served(&id, ticket) {
                Some(actor) => {
                    actor.app = App::Gone;
                    actor.farewell = done;
                    self.ask(&id, Ask::Release);
                }
                // It has ended before, and the permit knows.
                None => drop(done.map(|done| done.send(Ok(())))),
            },
            Order::Status(answer) => {
                self.questions
                    .retain(|_, question| !question.answer.is_closed());
                let number = self.number();
                let question = Question {
                    answer,
                    loaded: false,
                };
                self.questions.insert(number, question);
                self.ask_status(number);
            }
            Order::Close(done) => {
                self.closed.push(done);
                self.close();
            }
        }
    }

    fn join(
        &mut self,
        id: Bytes,
        ticket: u64,
        wait: bool,
        answer: oneshot::Sender<Result<RedisPermit, AcquireError>>,
    ) {
        let refusal = match self.actors.get(&id).map(|actor| &actor.app) {
            _ if self.closing => Some(AcquireError::Closed),
            Some(App::Waiting(_) | App::Holding(_)) => Some(AcquireError::IdInUse),
            Some(App::Gone) => None,
            None => {
                let instance = self.number();
                match SlotsClient::new(Arc::clone(&self.settings), &id) {
                    Ok(machine) => {
                        let actor = Actor {
                            machine: machine.first_nonce(wall_clock_us()),
                            instance,
                            ticket,
                            app: App::Gone,
                            farewell: None,
                            trouble: None,
                            listening: false,
                            timer: None,
                            sent_on: 0,
                        };
                        self.actors.insert(id.clone(), actor);
                        None
                    }
                    Err(error) => Some(AcquireError::Id(error)),
                }
            }
        };
        if let Some(refusal) = refusal {
            let _ = answer.send(Err(refusal));
            return;
        }
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.ticket = ticket;
            actor.app = App::Waiting(answer);
            let ask = if wait { Ask::Acquire } else { Ask::TryAcquire };
            self.ask(&id, ask);
        }
    }

    /// The machine that serves that join, if it still does.
    fn served(&mut self, id: &Bytes, ticket: u64) -> Option<&mut Actor> {
        self.actors
            .get_mut(id)
            .filter(|actor| actor.ticket == ticket && !matches!(actor.app, App::Gone))
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        let ids: Vec<Bytes> = self.actors.keys().cloned().collect();
        for id in ids {
            let Some(actor) = self.actors.get_mut(&id) else {
                continue;
            };
            match std::mem::replace(&mut actor.app, App::Gone) {
                App::Waiting(answer) => {
                    let _ = answer.send(Err(AcquireError::Closed));
                    self.ask(&id, Ask::Cancel);
                }
                App::Holding(standing) => {
                    standing.send_modify(|standing| standing.lost = Some(Ended::Released));
                    self.ask(&id, Ask::Release);
                }
                App::Gone => {}
            }
        }
    }

    fn landed(&mut self, outcomes: Vec<Outcome>) {
        for (tag, outcome) in outcomes {
            match tag {
                Tag::Machine(id, instance, request) => {
                    let input = match outcome {
                        Ok(reply) => Input::Reply(request, reply),
                        Err(failure) => Input::Failed(request, failure),
                    };
                    self.follow_up.push_back((id, instance, input));
                }
                Tag::Status(number) => self.status_landed(number, outcome.ok()),
            }
        }
    }

    fn news(&mut self, news: &News) {
        let input = match news {
            News::Subscribed => Input::Subscribed,
            News::Unsubscribed => Input::Unsubscribed,
            News::Message(id) => {
                if let Some(actor) = self.actors.get(id).filter(|actor| actor.listening) {
                    let input = Input::Message(id.clone());
                    self.follow_up
                        .push_back((id.clone(), actor.instance, input));
                }
                return;
            }
        };
        for (id, actor) in &self.actors {
            if actor.listening {
                self.follow_up
                    .push_back((id.clone(), actor.instance, input.clone()));
            }
        }
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        while let Some((_, id)) = self.timers.first().filter(|(at, _)| *at <= now).cloned() {
            self.timers.pop_first();
            if let Some(actor) = self.actors.get_mut(&id) {
                actor.timer = None;
            }
            self.input(&id, Input::Wake);
        }
    }

    fn follow_up(&mut self) {
        while let Some((id, instance, input)) = self.follow_up.pop_front() {
            let same = |actor: &Actor| actor.instance == instance;
            if self.actors.get(&id).is_some_and(same) {
                self.input(&id, input);
            }
        }
    }

    fn ask(&mut self, id: &Bytes, ask: Ask) {
        self.input(id, Input::Ask(ask));
    }

    /// Gives a machine its input and carries out what it wants.
    fn input(&mut self, id: &Bytes, input: Input) {
        let now = self.clock.now();
        let Some(actor) = self.actors.get_mut(id) else {
            return;
        };
        let mut failed = Vec::new();
        actor.machine.handle(now, input);
        while let Some(output) = actor.machine.poll_output() {
            match output {
                Output::Send { request, command } => {
                    let tag = Tag::Machine(id.clone(), actor.instance, request);
                    actor.sent_on = self.link.send(tag, &command);
                }
                Output::Reset(Conn::Commands) => failed.extend(self.link.reset(actor.sent_on)),
                // Its loss shows by itself, and it is made again by itself.
                Output::Reset(Conn::Messages) => {}
                Output::Subscribe(_) => {
                    actor.listening = true;
                    if self.subscription.want() {
                        self.follow_up
                            .push_back((id.clone(), actor.instance, Input::Subscribed));
                    }
                }
                Output::Unsubscribe => actor.listening = false,
                Output::Tell(event) => actor.tell(event, id, &self.orders, self.clock),
            }
        }
        let until = actor.machine.until();
        if let App::Holding(standing) = &actor.app {
            standing.send_if_modified(|standing| {
                std::mem::replace(&mut standing.until, until) != until
            });
        }
        let timer = actor.machine.deadline().map(|(at, _)| at);
        if actor.timer != timer {
            if let Some(old) = std::mem::replace(&mut actor.timer, timer) {
                self.timers.remove(&(old, id.clone()));
            }
            self.timers.extend(timer.map(|at| (at, id.clone())));
        }
        if actor.machine.is_idle() && matches!(actor.app, App::Gone) {
            if let Some(at) = actor.timer {
                self.timers.remove(&(at, id.clone()));
            }
            self.actors.remove(id);
        }
        self.landed(failed);
    }

    fn ask_status(&mut self, number: u64) {
        let command = script::status(&self.settings.keys, &self.settings.config);
        self.link.send(Tag::Status(number), &command);
    }

    fn status_landed(&mut self, number: u64, reply: Option<Reply>) {
        let Some(mut question) = self.questions.remove(&number) else {
            return;
        };
        let answer = match reply {
            None => Err(StatusError::Unreachable),
            Some(reply) if reply.error_code() == Some(b"NOSCRIPT") && !question.loaded => {
                question.loaded = true;
                self.questions.insert(number, question);
                let tag = Tag::Status(number);
                let status = self.settings.keys.script(&script::STATUS);
                self.link.send(tag, &script::load(status));
                return;
            }
            // The script is loaded: ask again.
            Some(reply) if reply.as_bytes() == Some(script::STATUS.sha1.as_bytes()) => {
                self.questions.insert(number, question);
                self.ask_status(number);
                return;
            }
            Some(reply) => script::decode_status(&reply)
                .map_err(|error| StatusError::Refused(error.to_string())),
        };
        let _ = question.answer.send(answer);
    }

    fn number(&mut self) -> u64 {
        self.next_instance += 1;
        self.next_instance
    }
}

impl Actor {
    fn tell(
        &mut self,
        event: Event,
        id: &Bytes,
        orders: &WeakUnboundedSender<Order>,
        clock: Clock,
    ) {
        match event {
            Event::Waiting { .. } => self.trouble = None,
            Event::Trouble(why) => self.trouble = Some(why),
            Event::Granted {
                fence,
                until,
                wait_ms,
            } => {
                self.trouble = None;
                match (
                    std::mem::replace(&mut self.app, App::Gone),
                    orders.upgrade(),
                ) {
                    (App::Waiting(answer), Some(orders)) => {
                        let (standing, watched) = watch::channel(Standing { until, lost: None });
                        self.app = App::Holding(standing);
                        // Whoever does not take it drops it, which gives it back.
                        let _ = answer.send(Ok(RedisPermit::new(
                            id.clone(),
                            self.ticket,
                            fence,
                            wait_ms,
                            watched,
                            orders,
                            clock,
                        )));
                    }
                    (app, _) => self.app = app,
                }
            }
            Event::Rejected(why) => self.end(Ended::Cancelled, || match why {
                Rejected::Full => AcquireError::Full,
                Rejected::Busy => AcquireError::Busy,
            }),
            Event::Ended(how) => {
                let trouble = self.trouble.take();
                self.end(how, || match how {
                    Ended::TimedOut => AcquireError::TimedOut { trouble },
                    Ended::Released | Ended::Expired | Ended::Cancelled | Ended::Abandoned => {
                        AcquireError::Ended(how)
                    }
                });
            }
            Event::Released | Event::Cancelled => {
                if let Some(farewell) = self.farewell.take() {
                    let _ = farewell.send(Ok(()));
                }
            }
            Event::Fatal(why) => {
                if let Some(farewell) = self.farewell.take() {
                    let _ = farewell.send(Err(ReleaseError::Refused(why.to_string())));
                }
                self.end(Ended::Cancelled, || AcquireError::Refused(why.into()));
            }
        }
    }

    /// The join, or the holding, is over.
    fn end(&mut self, how: Ended, error: impl FnOnce() -> AcquireError) {
        match std::mem::replace(&mut self.app, App::Gone) {
            App::Waiting(answer) => {
                let _ = answer.send(Err(error()));
            }
            App::Holding(standing) => standing.send_modify(|standing| standing.lost = Some(how)),
            App::Gone => {}
        }
    }
}
