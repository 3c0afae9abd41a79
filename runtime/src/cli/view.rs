//! What `run` shows while it runs: on a terminal a live line a task, else a plain line now and then.

#![expect(clippy::disallowed_methods, reason = "a rate is so much in so much time; nothing decides by it")]

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::progress::Phase;
use crate::supervise::Running;

/// How often the live lines are drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often plain lines are written.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// A capture that follows its source is always a little behind; from here on people are told.
const BEHIND_MS: u64 = 5_000;

/// Shows how tasks are doing until it is dropped with its future. Never ends by itself.
pub(super) async fn show(tasks: Vec<Running>, view: Option<MultiProgress>, quiet: bool) {
    match view {
        Some(view) => draw(tasks, &view).await,
        None if quiet => std::future::pending().await,
        None => write(tasks).await,
    }
}

async fn draw(tasks: Vec<Running>, view: &MultiProgress) {
    let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {msg}").expect("a fixed template");
    let width = tasks.iter().map(|t| t.task.len()).max().unwrap_or(0);
    let mut lines: Vec<(ProgressBar, Rate)> = tasks
        .iter()
        .map(|task| {
            let bar = view.add(ProgressBar::new_spinner().with_style(style.clone()));
            bar.set_prefix(format!("{:width$}", task.task));
            (bar, Rate::default())
        })
        .collect();
    // Leaves the terminal clean however this future ends.
    let _clean = Clean(view.clone());
    let mut tick = tokio::time::interval(DRAW_EVERY);
    loop {
        tick.tick().await;
        for (task, (bar, rate)) in tasks.iter().zip(&mut lines) {
            bar.set_message(describe(task, rate));
            bar.tick();
        }
    }
}

struct Clean(MultiProgress);

impl Drop for Clean {
    fn drop(&mut self) {
        // A terminal that is gone needs no cleaning.
        drop(self.0.clear());
    }
}

async fn write(tasks: Vec<Running>) {
    let mut rates: Vec<Rate> = tasks.iter().map(|_| Rate::default()).collect();
    let mut told: Vec<String> = vec![String::new(); tasks.len()];
    let mut tick = tokio::time::interval(WRITE_EVERY);
    tick.tick().await;
    loop {
        tick.tick().await;
        for ((task, rate), told) in tasks.iter().zip(&mut rates).zip(&mut told) {
            let rows: u64 = task.progress.totals().iter().map(|t| t.rows).sum();
            let state = format!("{rows} {}", task.progress.phase().word());
            let line = describe(task, rate);
            // An idle task says so once.
            if state != *told {
                tracing::info!(target: "longshore", task = task.task, "{line}");
                *told = state;
            }
        }
    }
}

fn describe(task: &Running, rate: &mut Rate) -> String {
    let totals = task.progress.totals();
    let rows: u64 = totals.iter().map(|t| t.rows).sum();
    let bytes: u64 = totals.iter().map(|t| t.bytes).sum();
    let mut line = format!(
        "{:15} {:>12} rows  {:>10}  {:>9}/s",
        task.kind,
        grouped(rows),
        size(bytes),
        grouped(rate.per_second(rows))
    );
    if task.progress.lag_documents() > 0 {
        line.push_str(&format!("  {} behind", grouped(task.progress.lag_documents())));
    }
    if let Some(lag) = task.progress.source_lag(Instant::now()).filter(|lag| lag.ms >= BEHIND_MS) {
        line.push_str(&format!("  {} and {} s behind", size(lag.bytes), lag.ms / 1_000));
    }
    line.push_str(&format!("  {}", task.progress.phase().word()));
    let doing = task.progress.what();
    if !doing.is_empty() && !matches!(task.progress.phase(), Phase::Ended | Phase::Waiting) {
        line.push_str(&format!(" ({doing})"));
    }
    line
}

/// Rows a second, smoothed over the last seconds.
#[derive(Debug, Default)]
struct Rate {
    last: Option<(Instant, u64)>,
    smooth: f64,
}

impl Rate {
    fn per_second(&mut self, rows: u64) -> u64 {
        let now = Instant::now();
        if let Some((then, before)) = self.last {
            let seconds = now.duration_since(then).as_secs_f64();
            if seconds < 0.05 {
                return self.smooth as u64;
            }
            let current = rows.saturating_sub(before) as f64 / seconds;
            let weight = (seconds / 2.0).min(1.0);
            self.smooth += weight * (current - self.smooth);
        }
        self.last = Some((now, rows));
        self.smooth as u64
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit people read.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 336_776, 1_234_567].map(grouped), ["0", "999", "1,000", "336,776", "1,234,567"]);
    }

    #[test]
    fn sizes_carry_a_unit() {
        assert_eq!([0, 1_023, 1_536, 8 << 20].map(size), ["0 B", "1023 B", "1.5 KiB", "8.0 MiB"]);
    }
}
