delivery = 수신
deliveries-none = 수신 기록이 없습니다.
show = 보기
newest = 최신
alerts-count = 알림 수
left-out = 보낸 쪽에서 { $count }건 생략
no-alert-read = 읽을 수 있는 알림 없음
replay-mark = 재생
repeat-mark = 반복
raw-body = 본문
as-it-came = 받은 그대로
answer-given = 보낸 응답
remediation = 조치
peer = 보낸 주소
replay-of = 재생 원본
repeat-of = 반복 원본
replay-title = 재생
replay-what = 먼저 모의 실행을 합니다. 지금이라면 어떻게 판정할지를 당시 판정과 나란히 보여 줍니다. 아무것도 저장하거나 보내지 않습니다.
dry-run = 모의 실행
dry-run-done = 아무것도 저장하거나 보내지 않았습니다.
back-to-delivery = 수신 기록으로 돌아가기
replay-changed = { $count ->
    [0] 바뀌는 판정이 없습니다.
   *[other] 판정 { $count }건이 바뀝니다.
}
replay-acting = { $count ->
    [0] 조치로 이어지는 알림이 없습니다.
   *[other] 알림 { $count }건이 조치로 이어집니다.
}
changed = 바뀜
same-as-then = 당시와 같음
then = 당시
now-again = 지금
execute-title = 실행
execute-what = 이 수신을 가리키는 새 수신으로 다시 판정합니다. 모든 가드를 다시 확인하며, 위에 보이는 내용이 아니라 그때의 판정을 따릅니다.
execute-two = 본인이 재생한 것은 본인이 승인할 수 없습니다. 승인이 필요하면 다른 사람이 해야 합니다.
execute = 재생하기
done-replayed = 재생되었습니다. 판정 결과가 여기에 있습니다.
problem-key_reused = 이 양식은 이미 다른 요청에 쓰였습니다
problem-unreadable_json = JSON이 아닙니다
problem-wrong_shape = 그 소스가 보내는 형식이 아닙니다
problem-too_many_alerts = 알림이 너무 많습니다
problem-body_too_large = 너무 큽니다
