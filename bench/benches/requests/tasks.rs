//! Several tasks that call `OAuth2::verify` of one policy at the same time.

use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use oauth2_actix::{Algorithm, OAuth2};
use oauth2_actix_bench as kit;
use tokio::{runtime, task};

use crate::api::{builder, key};

/// All tasks verify one cached token.
#[divan::bench(args = TASKS, consts = THREADS)]
fn same_token<const THREADS: usize>(bencher: Bencher<'_, '_>, tasks: usize) {
    measure(bencher, THREADS, tasks, 1);
}

/// The tasks verify 1,000 cached tokens.
#[divan::bench(args = TASKS, consts = THREADS)]
fn different_tokens<const THREADS: usize>(bencher: Bencher<'_, '_>, tasks: usize) {
    measure(bencher, THREADS, tasks, 1000);
}

fn measure(bencher: Bencher<'_, '_>, threads: usize, tasks: usize, distinct: usize) {
    let key = key(Algorithm::ES256);
    let token = kit::padded(kit::token(), &key, 800);
    let tokens: Arc<[String]> =
        (0..distinct).map(|index| kit::numbered(&token, index).sign(&key)).collect();
    let oauth2 = builder(&key).build().unwrap();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(threads).build().unwrap();
    let run = || {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..tasks)
                .map(|index| task::spawn(verify(oauth2.clone(), Arc::clone(&tokens), index)))
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    };
    // Caches each token.
    for _ in 0..distinct.div_ceil(EACH) {
        run();
    }
    bencher.counter(ItemsCount::new(tasks * EACH)).bench_local(run);
}

/// Verifies `EACH` tokens, and yields to the other tasks in between, as the tasks of a server do.
async fn verify(oauth2: OAuth2, tokens: Arc<[String]>, task: usize) {
    for index in 0..EACH {
        let token = &tokens[(task * 61 + index * 7) % tokens.len()];
        oauth2.verify(token).await.unwrap();
        if index % 8 == 7 {
            task::yield_now().await;
        }
    }
}

const THREADS: [usize; 2] = [1, 2];
const TASKS: [usize; 4] = [1, 4, 16, 64];
/// The number of tokens that each task verifies.
const EACH: usize = 1024;
