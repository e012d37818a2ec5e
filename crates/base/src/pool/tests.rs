use std::sync::mpsc;

use super::*;
use crate::ErrorKind;

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_function_runs_on_a_thread_of_the_pool() {
    let pool = ComputePool::start(1, 8).unwrap();
    let name = block_on(pool.compute(|| std::thread::current().name().map(str::to_owned))).unwrap();
    assert_eq!(name.as_deref(), Some("norn-compute-0"));
}

#[test]
fn a_pending_future_gives_its_thread_back() {
    let pool = ComputePool::start(1, 8).unwrap();
    let (sender, receiver) = oneshot::channel::<u32>();
    let waiting = pool.run(async move { receiver.await.unwrap() + 1 });
    // The only thread is free although the first task has not ended.
    assert_eq!(block_on(pool.compute(|| 7)).unwrap(), 7);
    sender.send(41).unwrap();
    assert_eq!(block_on(waiting).unwrap(), 42);
    assert_eq!(pool.state().alive, 0);
}

#[test]
fn a_wake_during_the_poll_is_not_lost() {
    let pool = ComputePool::start(2, 8).unwrap();
    for _ in 0..200 {
        let mut polls = 0;
        let future = std::future::poll_fn(move |context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 5 { Poll::Ready(polls) } else { Poll::Pending }
        });
        assert_eq!(block_on(pool.run(future)).unwrap(), 5);
    }
}

#[test]
fn a_panic_ends_only_its_own_task() {
    let pool = ComputePool::start(1, 8).unwrap();
    let error = block_on(pool.compute(|| panic!("no such series"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(error.message(), "a computation panicked: no such series");
    assert_eq!(block_on(pool.compute(|| 1)).unwrap(), 1);
    assert_eq!(pool.state().panicked, 1);
}

#[test]
fn a_full_pool_refuses() {
    let pool = ComputePool::start(1, 1).unwrap();
    let (sender, receiver) = mpsc::channel::<()>();
    let first = pool.compute(move || receiver.recv().is_ok());
    let refused = block_on(pool.compute(|| ())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    sender.send(()).unwrap();
    assert!(block_on(first).unwrap());
    assert_eq!(block_on(pool.compute(|| 3)).unwrap(), 3);
    assert_eq!(pool.state().refused, 1);
}

#[test]
fn dropping_the_handle_drops_the_future_on_the_pool() {
    struct Tell(mpsc::Sender<Option<String>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let name = std::thread::current().name().map(str::to_owned);
            self.0.send(name).unwrap();
        }
    }
    let pool = ComputePool::start(1, 8).unwrap();
    let (sender, receiver) = mpsc::channel();
    let tell = Tell(sender);
    let never = pool.run(async move {
        let _tell = tell;
        std::future::pending::<()>().await;
    });
    // Whether it is polled before it is cancelled or not, a thread of the pool drops it.
    drop(never);
    assert_eq!(receiver.recv().unwrap().as_deref(), Some("norn-compute-0"));
}

#[test]
fn threads_end_with_the_last_handle_and_finish_the_queue() {
    let pool = ComputePool::start(1, 8).unwrap();
    let other = pool.clone();
    let shared = Arc::downgrade(&pool.shared);
    let work = pool.compute(|| 5);
    let (sender, receiver) = oneshot::channel::<()>();
    let late = pool.run(receiver);
    drop(pool);
    drop(other);
    assert_eq!(block_on(work).unwrap(), 5);
    while shared.upgrade().is_some_and(|shared| shared.queue.lock().threads > 0) {
        std::thread::yield_now();
    }
    sender.send(()).unwrap();
    assert_eq!(block_on(late).unwrap_err().kind(), ErrorKind::Unavailable);
    while shared.upgrade().is_some() {
        std::thread::yield_now();
    }
}
