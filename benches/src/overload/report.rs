//! What came of it, as text and as one page with drawings.

use super::{Event, Histogram, Manner, Outcome, Sample};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// The beginning of a stretch that does not count: connections are made, caches are cold.
const BEGINNING: Duration = Duration::from_secs(1);
/// What an accepted transition may take, in the words.
const ACCEPTED_MS: f64 = 250.0;
/// What a refusal may take.
const REFUSED_MS: f64 = 5.0;
/// What the node must have left of its peak.
const GOODPUT: f64 = 0.8;
/// In which it must be well again.
const RECOVERED_S: f64 = 5.0;
/// What must really have been sent, as a part of what was to be offered.
const SENT: f64 = 0.98;

/// Requests of one kind of load.
pub struct Stretch {
    /// What it is.
    pub name: String,
    /// Transitions of a request.
    pub batch: usize,
    /// When it began.
    pub start: Instant,
    /// How long it was to go on.
    pub planned: Duration,
    /// How long it went on: less if there was nothing left to submit.
    pub time: Duration,
    /// Every request, by when it was due.
    pub events: Vec<Event>,
}

impl Stretch {
    fn end(&self) -> Instant {
        self.start + self.time
    }

    fn of(&self, outcome: Outcome) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.outcome == outcome)
    }

    /// Transitions.
    fn count(&self, outcome: Outcome) -> usize {
        self.of(outcome).count() * self.batch
    }

    /// Transitions a second that were due, and that were sent.
    fn offered(&self) -> (f64, f64) {
        let due = (self.events.len() * self.batch) as f64;
        let sent = due - self.count(Outcome::Unsent) as f64;
        (due / self.time.as_secs_f64(), sent / self.time.as_secs_f64())
    }

    /// Accepted transitions a second, without the beginning.
    pub fn goodput(&self) -> f64 {
        let (from, to) = (self.start + BEGINNING, self.end());
        let within = self.of(Outcome::Accepted).filter(|event| (from..to).contains(&event.done)).count();
        (within * self.batch) as f64 / self.time.saturating_sub(BEGINNING).as_secs_f64().max(0.001)
    }

    /// Milliseconds that this part of the accepted ones did not exceed, from when they were due.
    fn accepted_ms(&self, part: f64) -> f64 {
        quantile(self.of(Outcome::Accepted).map(|event| ms(event.done - event.due)), part)
    }

    /// The same from when they were sent.
    fn accepted_sent_ms(&self, part: f64) -> f64 {
        quantile(self.of(Outcome::Accepted).map(|event| ms(event.done - event.sent)), part)
    }

    /// The same for refusals, from sending on.
    fn refused_ms(&self, part: f64) -> f64 {
        quantile(self.of(Outcome::Refused).map(|event| ms(event.done - event.sent)), part)
    }

    /// The same from when they were due.
    fn refused_due_ms(&self, part: f64) -> f64 {
        quantile(self.of(Outcome::Refused).map(|event| ms(event.done - event.due)), part)
    }

    /// One line about it.
    pub fn line(&self) -> String {
        let early = if self.time < self.planned {
            format!("  ended after {:.1} s: nothing left to submit", self.time.as_secs_f64())
        } else {
            String::new()
        };
        format!(
            "{:<18} {:>7} offered  {:>7} accepted ({:.0}/s, p99 {:.0} ms)  {:>7} refused (p99 {:.1} ms)  {} unsent  \
             {} failed{early}",
            self.name,
            self.events.len() * self.batch,
            self.count(Outcome::Accepted),
            self.goodput(),
            self.accepted_ms(0.99),
            self.count(Outcome::Refused),
            self.refused_ms(0.99),
            self.count(Outcome::Unsent),
            self.count(Outcome::Failed),
        )
    }

    /// The beginning, in seconds, of the first second in both halves of which 99 of 100 are accepted in time, and how
    /// many half seconds after it are not so: disks have moods.
    fn well_after_s(&self) -> (f64, usize) {
        let late =
            |event: &Event| event.outcome != Outcome::Accepted || ms(event.done - event.due) > ACCEPTED_MS;
        let mut halves: Vec<(usize, usize)> = vec![(0, 0); self.time.as_secs() as usize * 2 + 1];
        let last = halves.len() - 1;
        for event in &self.events {
            let half = event.due.saturating_duration_since(self.start).as_secs_f64() * 2.0;
            let (all, bad) = &mut halves[(half as usize).min(last)];
            *all += 1;
            *bad += usize::from(late(event));
        }
        let well: Vec<bool> =
            halves.iter().take(last).map(|(all, bad)| *all > 0 && bad * 100 <= *all).collect();
        let first = well.windows(2).position(|two| two == [true, true]).unwrap_or(well.len());
        (first as f64 / 2.0, well.iter().skip(first).filter(|well| !**well).count())
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn quantile(values: impl Iterator<Item = f64>, part: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part) as usize).copied().unwrap_or(0.0)
}

/// The whole run.
pub struct Report {
    /// The best goodput of the closed loops.
    pub peak: f64,
    /// What was offered, as a multiple of it.
    pub times: f64,
    /// How requests look.
    pub manner: Manner,
    /// What was done, in order.
    pub stretches: Vec<Stretch>,
    /// What the node used meanwhile.
    pub samples: Vec<Sample>,
    /// How long the node took to turn away, under overload.
    pub turned_away: Histogram,
    /// How long an fsync of its log took, under overload.
    pub fsync: Histogram,
}

/// A promise, what was measured, and whether it holds.
struct Claim {
    what: &'static str,
    promised: String,
    measured: String,
    holds: bool,
}

impl Report {
    fn stretch(&self, name: &str) -> &Stretch {
        self.stretches.iter().find(|one| one.name == name).expect("it was run")
    }

    fn samples_of(&self, stretch: &Stretch) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| (stretch.start..stretch.end()).contains(&sample.at)).collect()
    }

    /// Bytes by which the node grew with each accepted transition of some stretches.
    fn growth(&self, stretches: &[&Stretch]) -> f64 {
        let (mut bytes, mut accepted) = (0.0, 0.0);
        for stretch in stretches {
            let samples = self.samples_of(stretch);
            if let (Some(first), Some(last)) = (samples.first(), samples.last()) {
                bytes += last.resident_bytes as f64 - first.resident_bytes as f64;
                accepted += stretch.count(Outcome::Accepted) as f64;
            }
        }
        bytes / f64::max(accepted, 1.0)
    }

    /// Seconds of processor time in a second: the node's, the clients'.
    fn cores(&self, stretch: &Stretch) -> (f64, f64) {
        let samples = self.samples_of(stretch);
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return (0.0, 0.0) };
        let time = (last.at - first.at).as_secs_f64().max(0.001);
        ((last.cpu_s - first.cpu_s) / time, (last.clients_cpu_s - first.clients_cpu_s) / time)
    }

    fn claims(&self) -> Vec<Claim> {
        let overload = self.stretch("overload");
        let goodput = overload.goodput();
        // The ledger has grown meanwhile, and the machine is not the same in every second.
        let loops: Vec<f64> = self
            .stretches
            .iter()
            .filter(|one| one.name.ends_with("level info"))
            .map(Stretch::goodput)
            .collect();
        let again = loops.iter().sum::<f64>() / loops.len().max(1) as f64;
        let accepted = overload.accepted_ms(0.99);
        let (node, refused) = (self.turned_away.bound(0.99) * 1e3, overload.refused_ms(0.99));
        let (due, sent) = overload.offered();
        let tries: Vec<&Stretch> =
            self.stretches.iter().filter(|one| one.name.ends_with("connections")).collect();
        let (before, under) = (self.growth(&tries), self.growth(&[overload]));
        let afterwards = self.stretch("afterwards");
        let pause = (afterwards.start - overload.end()).as_secs_f64();
        let (well, ill) = afterwards.well_after_s();
        let well = pause + well;
        vec![
            Claim {
                what: "offered",
                promised: format!("{:.1} times the peak, really sent", self.times),
                measured: format!(
                    "{due:.0}/s due, {sent:.0}/s sent ({:.2} times the peak) for {:.0} s",
                    sent / self.peak,
                    overload.time.as_secs_f64()
                ),
                holds: sent >= SENT * self.times * self.peak,
            },
            Claim {
                what: "goodput under overload",
                promised: format!("≥ {:.0} % of the peak", GOODPUT * 100.0),
                measured: format!(
                    "{goodput:.0}/s, {:.0} % of {:.0}/s; {:.0} % of the {again:.0}/s of the same load once it was over",
                    goodput / self.peak * 100.0,
                    self.peak,
                    goodput / again * 100.0
                ),
                holds: goodput >= GOODPUT * self.peak,
            },
            Claim {
                what: "accepted, p99, from when it was due",
                promised: format!("≤ {ACCEPTED_MS} ms"),
                measured: format!(
                    "{accepted:.0} ms; {:.0} ms from when it was sent",
                    overload.accepted_sent_ms(0.99)
                ),
                holds: accepted <= ACCEPTED_MS,
            },
            Claim {
                what: "refused, p99, as a client beside the node sees it, from when it was sent",
                promised: format!("≤ {REFUSED_MS} ms"),
                measured: format!(
                    "{refused:.1} ms, p50 {:.2} ms, of {} requests; {:.1} ms from when it was due; in the node \
                     at most {node} ms of {}",
                    overload.refused_ms(0.5),
                    overload.of(Outcome::Refused).count(),
                    overload.refused_due_ms(0.99),
                    self.turned_away.count(),
                ),
                holds: self.turned_away.count() > 0 && refused <= REFUSED_MS,
            },
            Claim {
                what: "memory: what an accepted transition leaves",
                promised: "not more than at the peak, by half".to_owned(),
                measured: format!(
                    "{under:.0} bytes, {before:.0} at the peak, with {:.1} refused for each accepted",
                    overload.count(Outcome::Refused) as f64 / overload.count(Outcome::Accepted).max(1) as f64
                ),
                holds: under <= before * 1.5,
            },
            Claim {
                what: "well again after the overload",
                promised: format!("≤ {RECOVERED_S} s"),
                measured: format!(
                    "{well:.1} s, of which nobody came for {pause:.1} s; later {ill} half seconds in which more than 1 \
                     of 100 was late or refused, of {}",
                    afterwards.time.as_secs() * 2
                ),
                holds: well <= RECOVERED_S,
            },
        ]
    }

    /// What the node's lines about accepted transitions cost: goodput with them over goodput without, for each pair of
    /// neighbours that had enough to submit.
    fn lines(&self) -> Vec<f64> {
        let levels: Vec<&Stretch> =
            self.stretches.iter().filter(|one| one.name.starts_with("log level")).collect();
        let whole = |pair: &&[&Stretch]| pair.iter().all(|one| one.time == one.planned);
        let ratio = |pair: &[&Stretch]| {
            let sum = |level: &str| {
                pair.iter().filter(|one| one.name.ends_with(level)).map(|one| one.goodput()).sum::<f64>()
            };
            sum("info") / sum("error").max(1.0)
        };
        levels.chunks_exact(2).filter(whole).map(ratio).collect()
    }

    /// The figures.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for claim in self.claims() {
            let holds = if claim.holds { "holds" } else { "FAILS" };
            writeln!(text, "{holds}  {}: {} ({})", claim.what, claim.measured, claim.promised)
                .expect("memory");
        }
        let (node, clients) = self.cores(self.stretch("overload"));
        writeln!(
            text,
            "{} transitions a request{}; under overload: cores used by the node {node:.2}, by clients \
             {clients:.2}; fsync p50 at most {:.1} ms, p99 at most {:.1} ms",
            self.manner.batch,
            if self.manner.expect { ", each body only once the node asks for it" } else { "" },
            self.fsync.bound(0.5) * 1e3,
            self.fsync.bound(0.99) * 1e3,
        )
        .expect("memory");
        let ratios = self.lines();
        let mean = ratios.iter().sum::<f64>() / ratios.len().max(1) as f64;
        let least = ratios.iter().copied().reduce(f64::min).unwrap_or(0.0);
        let most = ratios.iter().copied().reduce(f64::max).unwrap_or(0.0);
        write!(
            text,
            "goodput with the lines about accepted transitions over without: {mean:.2} ({least:.2} to {most:.2} in {} \
             pairs)",
            ratios.len()
        )
        .expect("memory");
        text
    }

    /// The page.
    pub fn html(&self) -> String {
        let mut page = String::from(
            "<!doctype html><html lang=en><meta charset=utf-8><title>DSM under overload</title><style>\
             body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1c2733}\
             table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .75rem;border-bottom:1px solid #d8dee6;\
             text-align:left}.no{color:#b3261e;font-weight:600}.yes{color:#1b7f4b;font-weight:600}\
             svg{width:100%;height:auto;background:#fafbfc;border:1px solid #d8dee6;margin:.25rem 0 1rem}\
             text{font-size:11px;fill:#55606d}</style><h1>A node under overload</h1>",
        );
        let claims: String = self
            .claims()
            .iter()
            .map(|claim| {
                let (class, word) = if claim.holds { ("yes", "holds") } else { ("no", "fails") };
                format!(
                    "<tr><td>{}<td>{}<td>{}<td class={class}>{word}",
                    claim.what, claim.promised, claim.measured
                )
            })
            .collect();
        write!(page, "<table><tr><th>what<th>promised<th>measured<th>{claims}</table>").expect("memory");
        for line in self.text().lines().rev().take(2) {
            write!(page, "<p>{line}").expect("memory");
        }
        self.drawings(&mut page);
        let rows: String = self
            .stretches
            .iter()
            .map(|one| {
                let (node, clients) = self.cores(one);
                format!(
                    "<tr><td>{}<td>{}<td>{}<td>{:.0}<td>{:.1}<td>{:.1}<td>{}<td>{:.1}<td>{}<td>{}<td>{node:.2}<td>{clients:.2}",
                    one.name,
                    one.events.len() * one.batch,
                    one.count(Outcome::Accepted),
                    one.goodput(),
                    one.accepted_ms(0.5),
                    one.accepted_ms(0.99),
                    one.count(Outcome::Refused),
                    one.refused_ms(0.99),
                    one.count(Outcome::Unsent),
                    one.count(Outcome::Failed),
                )
            })
            .collect();
        write!(
            page,
            "<h2>All stretches</h2><table><tr><th>stretch<th>due<th>accepted<th>a second<th>p50 ms<th>p99 ms<th>refused\
             <th>p99 ms<th>unsent<th>failed<th>node's cores<th>clients' cores{rows}</table></html>"
        )
        .expect("memory");
        page
    }

    fn drawings(&self, page: &mut String) {
        let Some(start) = self.stretches.first().map(|one| one.start) else { return };
        let end = self.stretches.iter().map(Stretch::end).max().unwrap_or(start);
        let seconds = (end - start).as_secs() as usize + 1;
        let second = |at: Instant| (at.saturating_duration_since(start).as_secs() as usize).min(seconds - 1);
        let all = || self.stretches.iter().flat_map(|one| &one.events);
        let rate = |wanted: &dyn Fn(&Event) -> Option<Instant>| {
            let mut counts = vec![0.0; seconds];
            all().filter_map(wanted).for_each(|at| counts[second(at)] += self.manner.batch as f64);
            counts
        };
        let when = |outcome| move |event: &Event| (event.outcome == outcome).then_some(event.done);
        let latency = |outcome, part| {
            let mut values = vec![Vec::new(); seconds];
            let wanted = all().filter(|event| event.outcome == outcome);
            wanted.for_each(|event| {
                let from = if outcome == Outcome::Refused { event.sent } else { event.due };
                values[second(event.done)].push(ms(event.done - from));
            });
            values.into_iter().map(|values| quantile(values.into_iter(), part)).collect::<Vec<f64>>()
        };
        let mut resident = vec![0.0f64; seconds];
        for sample in self.samples.iter().filter(|sample| (start..end).contains(&sample.at)) {
            let place = &mut resident[second(sample.at)];
            *place = place.max(sample.resident_bytes as f64 / (1 << 20) as f64);
        }
        let marks: Vec<(usize, &str)> =
            self.stretches.iter().map(|one| (second(one.start), one.name.as_str())).collect();
        let drawings = [
            (
                "Transitions a second",
                vec![
                    ("offered", "#8a94a0", rate(&|event| Some(event.due))),
                    ("refused", "#b3261e", rate(&when(Outcome::Refused))),
                    ("accepted", "#1b7f4b", rate(&when(Outcome::Accepted))),
                ],
            ),
            ("Accepted a second", vec![("accepted", "#1b7f4b", rate(&when(Outcome::Accepted)))]),
            (
                "Latency of accepted ones, from when they were due, ms",
                vec![
                    ("p99", "#b3561e", latency(Outcome::Accepted, 0.99)),
                    ("p50", "#1b7f4b", latency(Outcome::Accepted, 0.5)),
                ],
            ),
            (
                "Latency of refusals as clients see them, ms",
                vec![
                    ("p99", "#b3261e", latency(Outcome::Refused, 0.99)),
                    ("p50", "#8a94a0", latency(Outcome::Refused, 0.5)),
                ],
            ),
            ("Memory of the node, MiB", vec![("resident", "#23568f", resident)]),
        ];
        for (title, lines) in drawings {
            write!(page, "<h2>{title}</h2>{}", drawing(&lines, &marks)).expect("memory");
        }
    }
}

/// Lines over seconds, with marks where something else begins.
fn drawing(lines: &[(&str, &str, Vec<f64>)], marks: &[(usize, &str)]) -> String {
    const WIDTH: f64 = 900.0;
    const HEIGHT: f64 = 220.0;
    const LEFT: f64 = 60.0;
    const TOP: f64 = 20.0;
    let seconds = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(1).max(2);
    let most = lines.iter().flat_map(|(_, _, values)| values).fold(1.0f64, |most, value| most.max(*value));
    let x = |second: f64| LEFT + second / (seconds - 1) as f64 * WIDTH;
    let y = |value: f64| TOP + HEIGHT * (1.0 - value / most);
    let mut svg = format!("<svg viewBox=\"0 0 {} {}\" role=img>", LEFT + WIDTH + 10.0, TOP + HEIGHT + 30.0);
    for part in 0..=4 {
        let value = most * f64::from(part) / 4.0;
        write!(
            svg,
            "<line x1={LEFT} x2={} y1={y:.1} y2={y:.1} stroke=#e3e8ee /><text x={} y={:.1} text-anchor=end>{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y(value) + 4.0,
            if most < 20.0 { format!("{value:.1}") } else { format!("{value:.0}") },
            y = y(value),
        )
        .expect("memory");
    }
    for (place, (second, name)) in marks.iter().enumerate() {
        let at = x(*second as f64);
        let row = TOP + 10.0 + (place % 3) as f64 * 12.0;
        write!(
            svg,
            "<line x1={at:.1} x2={at:.1} y1={TOP} y2={} stroke=#c3cbd4 stroke-dasharray=3 />\
             <text x={:.1} y={row}>{name}</text>",
            TOP + HEIGHT,
            at + 3.0,
        )
        .expect("memory");
    }
    for (place, (name, colour, values)) in lines.iter().enumerate() {
        let points: String = values
            .iter()
            .enumerate()
            .map(|(second, value)| format!("{:.1},{:.1} ", x(second as f64), y(*value)))
            .collect();
        write!(
            svg,
            "<polyline points=\"{points}\" fill=none stroke={colour} stroke-width=1.5 />\
             <text x={} y={} style=\"fill:{colour}\">{name}</text>",
            LEFT + 90.0 * place as f64,
            TOP + HEIGHT + 22.0,
        )
        .expect("memory");
    }
    svg + "</svg>"
}
