delivery = 受信
deliveries-none = 受信はまだありません。
show = 表示
newest = 最新
alerts-count = アラート数
left-out = 送信元が { $count } 件を省略
no-alert-read = 読めるアラートなし
replay-mark = 再生
repeat-mark = 繰り返し
raw-body = 本文
as-it-came = 受信したまま
answer-given = 返した応答
remediation = 対処
peer = 送信元アドレス
replay-of = 再生元
repeat-of = 繰り返し元
replay-title = 再生
replay-what = まず試行します。今ならどう判定するかを、当時の判定と並べて示します。何も保存も送信もしません。
dry-run = 試行
dry-run-done = 何も保存も送信もしていません。
back-to-delivery = 受信に戻る
replay-changed = { $count ->
    [0] 変わる判定はありません。
   *[other] { $count } 件の判定が変わります。
}
replay-acting = { $count ->
    [0] 対処になるアラートはありません。
   *[other] { $count } 件のアラートが対処になります。
}
changed = 変化あり
same-as-then = 当時と同じ
then = 当時
now-again = 今
execute-title = 実行
execute-what = この受信を指す新しい受信として判定し直します。すべてのガードを改めて確認し、上の表示ではなくその時の判定に従います。
execute-two = 自分が再生したものは自分では承認できません。承認が必要なら別の人が行います。
execute = 再生する
done-replayed = 再生しました。判定の結果はこちらです。
problem-key_reused = このフォームはすでに別の依頼に使われました
problem-unreadable_json = JSON ではありません
problem-wrong_shape = そのソースが送る形式ではありません
problem-too_many_alerts = アラートが多すぎます
problem-body_too_large = 大きすぎます
