# shellcheck shell=bash
# Traces over OTLP.

plant trace-of-its-own-after-a-restart src/traces/span.rs \
  's/for word in words \{/digest.update(std::process::id().to_string());\n        for word in words {/' \
  --test service traces::the_trace_goes_on
plant stages-without-a-parent src/traces/story.rs \
  's/span\(place, Some\(opening.place.span.clone\(\)\), name/span(place, None, name/' \
  --test service traces::one_trace
plant refused-spans-tried-for-ever src/traces/post.rs \
  's/400 \| 413 \| 422 => Err\(NotTaken::Refused/400 | 413 | 422 => Err(NotTaken::Later/' \
  --test service traces::spans_that_are_refused
plant traces-in-the-clear src/config/telemetry.rs \
  's/url.scheme\(\) == "https" \|\| is_loopback\(url\)/true/' \
  --lib config::tests::telemetry
plant attempts-without-their-trace src/dispatcher/claiming.rs \
  's/count_attempt\(report.outcome.as_str\(\), Some\(&trace_id\)\)/count_attempt(report.outcome.as_str(), None)/' \
  --test service traces::one_trace
plant rows-lost-while-the-collector-is-away src/traces.rs \
  's/Ok\(Some\(pause\)\)/Ok(None)/' \
  --test service traces::a_collector
