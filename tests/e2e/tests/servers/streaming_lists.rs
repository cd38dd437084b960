//! Streaming lists are on by default in Kubernetes 1.32, off in 1.33, on from 1.34. Before 1.32 there are none.

use greenlight_e2e::{Lab, cluster};
use greenlight_test_cluster::{can_stream_lists, streams_lists};
use serde_json::json;

use crate::ALONE;

const ON: [&str; 1] = ["--feature-gates=WatchList=true"];
const OFF: [&str; 1] = ["--feature-gates=WatchList=false"];

#[tokio::test(flavor = "multi_thread")]
async fn releases_go_through_with_streaming_lists_and_without() {
    let _alone = ALONE.lock().await;
    let as_it_is: &[&str] = &[];
    let on = if streams_lists() || !can_stream_lists() { as_it_is } else { &ON };
    let lists_by_pages = |lab: &mut Lab| lab.operator().log().contains("listing by pages");
    if !on.is_empty() {
        cluster().restart_api_server(on).await.expect("it serves");
    }
    let mut lab = Lab::without_operator("streaming").await;
    lab.start_operator();
    lab.deploy(json!({})).await;
    lab.release("web:v2").await;
    lab.forgive_denials();
    assert_eq!(lists_by_pages(&mut lab), !can_stream_lists(), "{}", lab.operator().log_tail());

    // They are gone while the operator runs: its watches are too old for the new server, and have to list again.
    cluster().restart_api_server(&OFF).await.expect("it serves");
    lab.release("web:v3").await;
    lab.forgive_denials();
    assert!(lists_by_pages(&mut lab), "{}", lab.operator().log_tail());

    // An operator starts where there are none.
    lab.kill_operator();
    lab.start_operator();
    lab.is_ready().await;
    lab.release("web:v4").await;

    // They are back.
    cluster().restart_api_server(on).await.expect("it serves");
    lab.release("web:v5").await;
    lab.forgive_denials();
    lab.kill_operator();
    lab.start_operator();
    lab.is_ready().await;
    assert_eq!(lists_by_pages(&mut lab), !can_stream_lists(), "{}", lab.operator().log_tail());
    lab.release("web:v6").await;
}
