//! Whether the checker finds what it is for: a history in which all is well, and then with one fault put
//! into it for each rule.

use tidings_hub::{Cursor, Position};

use super::account::{Answer, History, Note, Reading, What};
use super::checker::{Rule, assert_holds, check};
use super::made;
use crate::support::seed;

/// Histories made up, and how many of them a fault must fit into.
const HISTORIES: u64 = 200;
const FITTING_MIN: usize = 20;

/// Puts a fault into a history, if it fits.
type Plant = fn(&mut History, &mut fastrand::Rng) -> Option<()>;

/// The rules, and what breaks each.
pub const PLANTS: [(Rule, &str, Plant); 13] = [
    (Rule::AcknowledgedIsRead, "an acknowledged event is sent to nobody", lose_acknowledged),
    (Rule::OneValue, "a reader has another value at a position", exchange_a_value),
    (Rule::KeyOnce, "a key is stored again at the end", store_again),
    (Rule::OnlyPublished, "a reader is sent what nobody published", make_up_a_value),
    (Rule::OnlyPublished, "what was refused is read", refuse_what_is_read),
    (Rule::Order, "an event is sent twice on a connection", repeat_an_event),
    (Rule::Order, "two events are sent the wrong way round", swap_two_events),
    (Rule::Order, "the cursor goes back", move_back),
    (Rule::Order, "the later publish has the lower position", publish_after_its_successor),
    (Rule::NoHole, "one reader is not sent an event in the middle", skip_in_the_middle),
    (Rule::NoHole, "an epoch ends and no gap is told", withhold_a_gap),
    (Rule::Resumed, "a reader that resumed is not sent the first event", skip_the_first),
    (Rule::Resumed, "a reader is resumed after an earlier cursor", resume_before),
];

#[test]
fn a_history_without_a_fault_passes_and_one_fault_of_each_kind_is_found() {
    let first = seed();
    let mut fitting = [0; PLANTS.len()];
    for seed in (0..HISTORIES).map(|number| first.wrapping_add(number)) {
        println!("TIDINGS_SEED={seed}");
        let history = made::history(seed);
        assert_holds(&history);
        let mut rng = fastrand::Rng::with_seed(seed);
        for ((rule, name, plant), fitting) in PLANTS.iter().zip(&mut fitting) {
            *fitting += usize::from(is_found(*rule, name, *plant, &history, &mut rng));
        }
    }
    for ((_, name, _), fitting) in PLANTS.iter().zip(fitting) {
        assert!(fitting >= FITTING_MIN, "{name}: fits into {fitting} histories only");
    }
}

/// Whether the fault fits into the history; fails if it does and is not found.
pub fn is_found(
    rule: Rule,
    name: &str,
    plant: Plant,
    history: &History,
    rng: &mut fastrand::Rng,
) -> bool {
    let mut planted = history.clone();
    let fits = plant(&mut planted, rng).is_some();
    if fits {
        let faults = check(&planted);
        assert!(faults.iter().any(|fault| fault.rule == rule), "{name}: not found, but {faults:?}");
    }
    fits
}

fn lose_acknowledged(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let (reading, note) = choose(history, rng, is_acknowledged)?;
    let lost = value_at(history, (reading, note)).to_owned();
    for reading in &mut history.readings {
        reading.notes.retain(|note| value_of(note) != Some(&lost));
    }
    Some(())
}

fn exchange_a_value(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let place = choose(history, rng, is_acknowledged)?;
    let own = value_at(history, place).to_owned();
    let others = history
        .publishes
        .iter()
        .filter(|publish| publish.value != own && publish.answer != Answer::Refused);
    let other = rng.choice(others.collect::<Vec<_>>())?.value.clone();
    set_value(history, place, other);
    Some(())
}

fn store_again(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    // Whoever's last word was an event is sent it once more, beyond all that anyone has seen.
    let last = |reading: &Reading| match &reading.notes.last()?.what {
        What::Event { cursor, value } => Some((*cursor, value.clone())),
        What::Connected { .. } | What::Moved(_) | What::Gap { .. } => None,
    };
    let readers = history.readings.iter().enumerate();
    let readers = readers.filter_map(|(index, reading)| Some((index, last(reading)?)));
    let (index, (mut cursor, value)) = rng.choice(readers.collect::<Vec<_>>())?;
    let notes = history.readings.iter().flat_map(|reading| &reading.notes).filter_map(cursor_of);
    let newest = notes.filter(|seen| seen.epoch == cursor.epoch).map(|seen| seen.position).max();
    cursor.position = newest?.next();
    let note = Note { at: u64::MAX, what: What::Event { cursor, value } };
    history.readings[index].notes.push(note);
    Some(())
}

fn make_up_a_value(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let place = choose(history, rng, |_, _| true)?;
    set_value(history, place, "made up".to_owned());
    Some(())
}

fn refuse_what_is_read(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let place = choose(history, rng, |_, _| true)?;
    answer(history, place, Answer::Refused);
    Some(())
}

fn repeat_an_event(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let (reading, note) = choose(history, rng, |_, _| true)?;
    let notes = &mut history.readings[reading].notes;
    notes.insert(note, notes[note].clone());
    Some(())
}

fn swap_two_events(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let (reading, note) = choose(history, rng, |history, (reading, note)| {
        value_of(&history.readings[reading].notes[note + 1]).is_some()
    })?;
    history.readings[reading].notes.swap(note, note + 1);
    Some(())
}

fn move_back(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let (reading, note) = choose(history, rng, |_, _| true)?;
    let notes = &mut history.readings[reading].notes;
    let mut cursor = cursor_of(&notes[note])?;
    cursor.position = cursor.position.previous();
    let back = Note { at: notes[note].at, what: What::Moved(cursor) };
    notes.insert(note + 1, back);
    Some(())
}

fn publish_after_its_successor(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let stored: Vec<_> = history
        .publishes
        .iter()
        .enumerate()
        .filter_map(|(index, publish)| match publish.answer {
            Answer::Stored(cursor) => Some((index, cursor, publish.answered)),
            Answer::Refused | Answer::Unknown => None,
        })
        .collect();
    let (early, cursor, _) = *rng.choice(&stored)?;
    let later = |(_, other, _): &&(usize, Cursor, u64)| {
        other.epoch == cursor.epoch && other.position > cursor.position
    };
    let (_, _, answered) = *rng.choice(stored.iter().filter(later).collect::<Vec<_>>())?;
    history.publishes[early].invoked = answered + 1;
    history.publishes[early].answered = answered + 2;
    Some(())
}

fn skip_in_the_middle(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    skip(history, rng, |history, (reading, note)| {
        let before = &history.readings[reading].notes[..note];
        before.last().is_some_and(|note| value_of(note).is_some())
    })
}

fn skip_the_first(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    skip(history, rng, |history, (reading, note)| {
        let before = &history.readings[reading].notes[..note];
        before.last().is_some_and(|note| matches!(note.what, What::Connected { resumed: true, .. }))
    })
}

fn withhold_a_gap(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let mut gaps = Vec::new();
    for (reading, account) in history.readings.iter().enumerate() {
        for (index, notes) in account.notes.windows(2).enumerate() {
            let is_told = matches!(notes[0].what, What::Gap { .. });
            if is_told && matches!(notes[1].what, What::Event { .. } | What::Moved(_)) {
                let before = account.notes[..index].last();
                let connected = before.map(|note| &note.what);
                if matches!(
                    connected,
                    Some(What::Connected { offered: Some(_), resumed: false, .. })
                ) {
                    gaps.push((reading, index));
                }
            }
        }
    }
    let (reading, index) = *rng.choice(&gaps)?;
    history.readings[reading].notes.remove(index);
    Some(())
}

fn resume_before(history: &mut History, rng: &mut fastrand::Rng) -> Option<()> {
    let notes = history.readings.iter_mut().flat_map(|reading| &mut reading.notes);
    let connected = notes.filter_map(|note| match &mut note.what {
        What::Connected { offered: Some(offered), cursor, resumed: true } => {
            (offered.position > Position::START).then_some((offered.position, &mut cursor.position))
        }
        _ => None,
    });
    let (offered, position) = rng.choice(connected.collect::<Vec<_>>())?;
    *position = offered.previous();
    Some(())
}

type Place = (usize, usize);

/// An event, read on a connection that was told of no gap up to what comes next on it.
fn choose(
    history: &History,
    rng: &mut fastrand::Rng,
    is_right: impl Fn(&History, Place) -> bool,
) -> Option<Place> {
    let mut places = Vec::new();
    for (reading, account) in history.readings.iter().enumerate() {
        let mut has_gap = true;
        for (note, pair) in account.notes.windows(2).enumerate() {
            match pair[0].what {
                What::Connected { offered, resumed, .. } => has_gap = offered.is_some() && !resumed,
                What::Gap { .. } => has_gap = true,
                What::Event { .. } | What::Moved(_) => {}
            }
            let goes_on = matches!(pair[1].what, What::Event { .. } | What::Moved(_));
            if !has_gap && goes_on && value_of(&pair[0]).is_some() {
                places.push((reading, note));
            }
        }
    }
    places.retain(|place| is_right(history, *place));
    rng.choice(places)
}

/// Takes an event from one reader that others have read, and whose publisher does not know of it.
fn skip(
    history: &mut History,
    rng: &mut fastrand::Rng,
    is_right: impl Fn(&History, Place) -> bool,
) -> Option<()> {
    let (reading, note) = choose(history, rng, |history, place| {
        let value = value_at(history, place);
        let has_read =
            |reading: &&Reading| reading.notes.iter().any(|note| value_of(note) == Some(value));
        is_right(history, place) && history.readings.iter().filter(has_read).count() > 1
    })?;
    answer(history, (reading, note), Answer::Unknown);
    history.readings[reading].notes.remove(note);
    Some(())
}

fn is_acknowledged(history: &History, place: Place) -> bool {
    let value = value_at(history, place);
    let publish = history.publishes.iter().find(|publish| publish.value == value);
    publish.is_some_and(|publish| matches!(publish.answer, Answer::Stored(_)))
}

fn answer(history: &mut History, place: Place, answer: Answer) {
    let value = value_at(history, place).to_owned();
    let publish = history.publishes.iter_mut().find(|publish| publish.value == value);
    publish.expect("what is read was published").answer = answer;
}

fn value_at(history: &History, (reading, note): Place) -> &str {
    value_of(&history.readings[reading].notes[note]).expect("it is an event")
}

fn set_value(history: &mut History, (reading, note): Place, new: String) {
    if let What::Event { value, .. } = &mut history.readings[reading].notes[note].what {
        *value = new;
    }
}

fn value_of(note: &Note) -> Option<&str> {
    match &note.what {
        What::Event { value, .. } => Some(value),
        What::Connected { .. } | What::Moved(_) | What::Gap { .. } => None,
    }
}

fn cursor_of(note: &Note) -> Option<Cursor> {
    match &note.what {
        What::Event { cursor, .. } | What::Moved(cursor) | What::Connected { cursor, .. } => {
            Some(*cursor)
        }
        What::Gap { .. } => None,
    }
}
