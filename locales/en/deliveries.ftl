delivery = Delivery
deliveries-none = No delivery yet.
show = Show
newest = Newest
alerts-count = Alerts
left-out = { $count } left out by the sender
no-alert-read = no alert could be read
replay-mark = replay
repeat-mark = repeat
raw-body = Body
as-it-came = As it came
answer-given = Answer that was given
remediation = Remediation
peer = Came from
replay-of = Replay of
repeat-of = Repeat of
replay-title = Replay
replay-what = First a dry run: what would be decided now, beside what was decided then. Nothing is kept or sent.
dry-run = Dry run
dry-run-done = Nothing was kept and nothing was sent.
back-to-delivery = Back to the delivery
replay-changed = { $count ->
    [0] No decision would change.
    [one] One decision would change.
   *[other] { $count } decisions would change.
}
replay-acting = { $count ->
    [0] No alert would become a remediation.
    [one] One alert would become a remediation.
   *[other] { $count } alerts would become remediations.
}
changed = changed
same-as-then = same as then
then = Then
now-again = Now
execute-title = Carry it out
execute-what = The delivery is decided anew, as a new delivery that points to this one. Every guard is asked again; what they say then counts, not what is shown above.
execute-two = Nobody approves their own replay: where a person must approve, it must be another one.
execute = Replay it
done-replayed = Replayed. What was decided is shown here.
problem-key_reused = This form was already used for something else
problem-unreadable_json = This is not JSON
problem-wrong_shape = This is not what that source sends
problem-too_many_alerts = Too many alerts
problem-body_too_large = This is too large
