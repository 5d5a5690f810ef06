//! Trends: every number is also a text, and hostile or empty stores draw as well.

use super::pages::Browser;
use super::{Rig, firing};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trends_say_in_text_what_they_draw() {
    let rig = Rig::start().await;
    rig.inventory().await;
    let viewer = Browser::log_in(&rig, "viewer").await;
    let empty = viewer.get("/trends").await;
    assert_eq!(empty.status, 200);
    assert_eq!(empty.text.matches("Nothing happened in this time.").count(), 4, "{empty:?}");
    for n in 0..3 {
        let told = rig.deliver(&firing("90000003", &format!("00000000000000b{n}"))).await;
        assert_eq!(told.status, 202, "{told:?}");
    }
    for range in ["24h", "7d", "30d"] {
        let page = viewer.get(&format!("/trends?range={range}")).await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains("suppressed <strong>3</strong>"), "{range}: {page:?}");
        assert!(page.text.contains("not eligible <code class=\"quiet\">not_eligible</code>"), "{page:?}");
        assert!(
            page.text.contains("<td data-label=\"suppressed\">3</td>"),
            "the table says the same: {page:?}"
        );
        assert!(page.text.contains("fill=\"url(#p4)\"") && !page.text.contains("style="), "{page:?}");
    }
    assert_eq!(viewer.get("/trends?range=1y").await.status, 400);
}
