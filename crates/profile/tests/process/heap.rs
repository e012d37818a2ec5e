use norn_base::clock::SystemClock;
use norn_base::random::SeededRandom;
use norn_profile::heap;
use norn_profile::pprof::Profile;

use crate::block_on;

/// So large that not to be a sample has a probability of `e^-128`.
const LARGE_BYTES: usize = 64 << 20;

/// As above with `e^-32`; it is filled byte by byte.
const GROWN_BYTES: usize = 16 << 20;

/// Positions of the values of a sample.
const ALLOCATED_BYTES: usize = 1;
const IN_USE_OBJECTS: usize = 2;
const IN_USE_BYTES: usize = 3;

#[inline(never)]
fn allocate_much(bytes: usize) -> Vec<u8> {
    std::hint::black_box(vec![1; bytes])
}

#[inline(never)]
fn allocate_many(objects: usize) -> Vec<Vec<u8>> {
    (0..objects).map(|_| std::hint::black_box(vec![1; 1024])).collect()
}

#[inline(never)]
fn grow(bytes: usize) -> Vec<u8> {
    let mut vec = Vec::new();
    while vec.len() < bytes {
        vec.push(std::hint::black_box((vec.len() % 251) as u8));
    }
    vec
}

/// The sum of one value over all stacks with a function.
fn sum_of(function: &str, value: usize) -> i64 {
    let profile = Profile::decode_gzip(&block_on(heap::profile(SystemClock::shared())).unwrap()).unwrap();
    assert_eq!(profile.text(profile.sample_type[value].r#type).contains("inuse"), value >= 2);
    let has_function =
        |sample: &&norn_profile::pprof::Sample| profile.functions_of(sample).iter().any(|name| name.contains(function));
    profile.sample.iter().filter(has_function).map(|sample| sample.value[value]).sum()
}

fn assert_about(found: i64, expected: usize, share: f64) {
    let ratio = found as f64 / expected as f64;
    assert!((ratio - 1.0).abs() <= share, "{found} where {expected} is expected");
}

#[test]
fn what_is_in_use_is_told_until_it_is_freed() {
    heap::start(&*SeededRandom::shared(7)).unwrap();
    // A thread's first count after the start: what ends it is no sample, as it began before.
    drop(allocate_much(LARGE_BYTES));

    let much = allocate_much(LARGE_BYTES);
    assert_about(sum_of("allocate_much", IN_USE_BYTES), LARGE_BYTES, 0.01);
    drop(much);
    assert_eq!(sum_of("allocate_much", IN_USE_BYTES), 0);
    assert!(sum_of("allocate_much", ALLOCATED_BYTES) >= LARGE_BYTES as i64);

    // 128 samples are expected; their number is within six standard deviations.
    let many = allocate_many(64 << 10);
    assert_about(sum_of("allocate_many", IN_USE_OBJECTS), 64 << 10, 0.55);
    drop(many);
    assert_eq!(sum_of("allocate_many", IN_USE_OBJECTS), 0);

    let grown = grow(GROWN_BYTES);
    assert!(grown.iter().enumerate().all(|(index, byte)| usize::from(*byte) == index % 251));
    assert_about(sum_of("grow", IN_USE_BYTES), grown.capacity(), 0.01);
    drop(grown);
    assert_eq!(sum_of("grow", IN_USE_BYTES), 0);
}

#[test]
fn threads_free_what_others_have_allocated() {
    heap::start(&*SeededRandom::shared(7)).unwrap();
    #[inline(never)]
    fn hand_over() -> Vec<Vec<u8>> {
        (0..20_000).map(|index| vec![index as u8; index % 5000 + 1]).collect()
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let sender = sender.clone();
            scope.spawn(move || sender.send(hand_over()));
        }
        drop(sender);
        for vectors in receiver {
            for (index, vector) in vectors.iter().enumerate() {
                assert!(vector.iter().all(|byte| *byte == index as u8));
            }
        }
    });
    assert!(sum_of("hand_over", ALLOCATED_BYTES) > 0);
    assert_eq!(sum_of("hand_over", IN_USE_BYTES), 0);
}
