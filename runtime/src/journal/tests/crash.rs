//! Crashes: at every operation, with unsynced writes lost, torn and reordered, with syncs that fail, again and again. Everything that was
//! called durable is there afterwards, and nothing is half there.

use super::*;
use crate::journal::storage::sim::{Plan, Strikes};

/// What a process does until it crashes: takes over, writes, abandons, rotates. Notes each transaction it was told is durable.
fn live(disk: &SimStorage, epoch: u64, segment_bytes: u64, acknowledged: &mut u64) -> Result<(), JournalError> {
    let journal = journal(disk, segment_bytes);
    let mut writer = journal.acquire(Epoch(epoch))?;
    assert!(writer.last_committed().transaction >= *acknowledged, "an acknowledged transaction is gone");
    check_state(&*writer);
    for _ in 0..6 {
        let n = writer.last_committed().transaction + 1;
        if n.is_multiple_of(4) {
            let local = writer.bind(&binding("orders"))?;
            writer.documents(local, &batch(&[format!(r#"{{"never":"{}"}}"#, "w".repeat(600))]))?;
            writer.bind(&binding("never"))?;
            writer.abandon();
        }
        write(&mut *writer, n)?;
        *acknowledged = n;
    }
    drop(writer);
    // A second session in the same process.
    let mut writer = journal.acquire(Epoch(epoch + 1))?;
    let n = writer.last_committed().transaction + 1;
    assert_eq!(n, *acknowledged + 1);
    write(&mut *writer, n)?;
    *acknowledged = n;
    Ok(())
}

fn check_state(writer: &dyn Writer) {
    let n = writer.last_committed().transaction;
    let expected = (n > 0).then(|| format!(r#"{{"at":{n}}}"#));
    assert_eq!(writer.state().task_json().map(|json| String::from_utf8(json.to_vec()).unwrap()), expected);
    assert_eq!(writer.bindings().iter().count(), usize::from(n > 0));
}

fn check_all(disk: &SimStorage, epoch: u64, segment_bytes: u64, acknowledged: u64) -> u64 {
    let journal = journal(disk, segment_bytes);
    let writer = journal.acquire(Epoch(epoch)).unwrap();
    let seen = read(&journal).unwrap();
    check_whole(&seen);
    check_state(&*writer);
    assert_eq!(seen.len() as u64, writer.last_committed().transaction);
    assert!(seen.len() as u64 >= acknowledged, "an acknowledged transaction is gone");
    seen.len() as u64
}

#[test]
fn a_crash_at_any_operation_keeps_what_was_durable_and_nothing_half() {
    let mut strikes = Strikes::default();
    for segment_bytes in [450, 1000, 1 << 20] {
        let mut at = 0;
        loop {
            let mut finished = false;
            for seed in 0..4 {
                let disk = SimStorage::default();
                let mut acknowledged = 0;
                disk.plan(Plan { stop_at: Some(at), ..Plan::default() });
                finished = live(&disk, 1, segment_bytes, &mut acknowledged).is_ok();
                // A crash of the process alone for one seed, of the machine for the others; then a crash of the recovery.
                let mut dice = dice(seed * 1000 + at);
                if seed == 0 {
                    disk.restart()
                } else {
                    disk.power_cut(&mut dice)
                }
                disk.plan(Plan { stop_at: Some(dice(12)), ..Plan::default() });
                live(&disk, 10, segment_bytes, &mut acknowledged).ok();
                disk.power_cut(&mut dice);
                check_all(&disk, 20, segment_bytes, acknowledged);
                add(&mut strikes, disk.strikes());
            }
            at += 1;
            if finished {
                break;
            }
        }
        assert!(at > 20);
    }
    assert!(strikes.stops > 100 && strikes.names_lost > 0, "{strikes:?}");
    assert!(strikes.sectors_lost > 0 && strikes.sectors_torn > 0 && strikes.sectors_reordered > 0, "{strikes:?}");
}

#[test]
fn crash_after_crash_at_random_moments_loses_nothing() {
    for seed in 0..60 {
        let mut dice = dice(seed);
        let disk = SimStorage::default();
        let segment_bytes = [300, 800, 5000][dice(3) as usize];
        let mut acknowledged = 0;
        for round in 0..8 {
            disk.plan(Plan { stop_at: Some(dice(60)), ..Plan::default() });
            live(&disk, 1 + 10 * round, segment_bytes, &mut acknowledged).ok();
            if dice(3) == 0 { disk.restart() } else { disk.power_cut(&mut dice) }
        }
        check_all(&disk, 1000, segment_bytes, acknowledged);
    }
}

/// A sync fails and its pages are clean afterwards: a second sync succeeds and writes nothing. Whoever takes over, in this process or the
/// next one, must not build on them.
#[test]
fn after_a_failed_sync_nobody_builds_on_what_is_only_in_the_page_cache() {
    let mut strikes = Strikes::default();
    for segment_bytes in [450, 1 << 20] {
        for at in 0..70 {
            for later in [false, true] {
                let disk = SimStorage::default();
                let mut acknowledged = 0;
                disk.plan(Plan { sync_error_at: Some(at), ..Plan::default() });
                let failed = live(&disk, 1, segment_bytes, &mut acknowledged).is_err();
                if later {
                    disk.restart();
                }
                live(&disk, 10, segment_bytes, &mut acknowledged).ok();
                let mut dice = dice(at);
                disk.power_cut(&mut dice);
                check_all(&disk, 20, segment_bytes, acknowledged);
                strikes.sync_errors += u64::from(failed);
            }
        }
    }
    assert!(strikes.sync_errors > 50, "{strikes:?}");
}

#[test]
fn a_full_disk_is_an_unknown_outcome_and_the_next_writer_sorts_it_out() {
    let mut unknown = 0;
    for at in 0..70 {
        let disk = SimStorage::default();
        let mut acknowledged = 0;
        disk.plan(Plan { short_write_at: Some(at), ..Plan::default() });
        match live(&disk, 1, 700, &mut acknowledged) {
            Ok(()) => {}
            Err(JournalError::Unknown { .. }) => unknown += 1,
            Err(other) => panic!("expected an unknown outcome, got {other}"),
        }
        disk.plan(Plan::default());
        live(&disk, 10, 700, &mut acknowledged).unwrap();
        check_all(&disk, 20, 700, acknowledged);
    }
    assert!(unknown > 15);
}

#[test]
fn an_unknown_commit_is_found_or_not_but_never_half() {
    let (mut there, mut gone) = (0, 0);
    for seed in 0..60 {
        let disk = SimStorage::default();
        let journal = journal(&disk, 1 << 20);
        let mut writer = journal.acquire(Epoch(1)).unwrap();
        write(&mut *writer, 1).unwrap();
        // The last operation of a commit is its sync.
        disk.plan(Plan { stop_at: Some(1), ..Plan::default() });
        let error = write(&mut *writer, 2).unwrap_err();
        assert!(matches!(error, JournalError::Unknown { .. }), "{error}");
        assert!(write(&mut *writer, 2).is_err(), "the writer is of no more use");
        disk.power_cut(&mut dice(seed));
        match check_all(&disk, 2, 1 << 20, 1) {
            1 => gone += 1,
            2 => there += 1,
            more => panic!("{more} transactions"),
        }
    }
    assert!(there > 0 && gone > 0, "{there} there, {gone} gone");
}

fn add(sum: &mut Strikes, more: Strikes) {
    sum.stops += more.stops;
    sum.names_lost += more.names_lost;
    sum.sectors_lost += more.sectors_lost;
    sum.sectors_torn += more.sectors_torn;
    sum.sectors_reordered += more.sectors_reordered;
}
