<#
.SYNOPSIS
  Looks for a memory dump that was written since a time, and reports it to unhang.

.DESCRIPTION
  Looks at the dump file of CrashControl and at the bug check that Windows logged after its start (System log, event
  1001 of WER-SystemErrorReporting; 41 of Kernel-Power tells only that the system was not shut down). A dump that is
  older than -Since is not reported. Finding none is no error: it proves nothing, and nothing is reported.

  Written for Windows PowerShell 5.1, to be run as administrator (or SYSTEM) at every start.

.EXAMPLE
  .\Report-Dump.ps1 -WhatIf

.EXAMPLE
  .\Report-Dump.ps1 -Url https://unhang.example -ServerNo 4299 -TokenFile C:\unhang\guest-token
#>
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    # Dumps written before this time are old ones; 24 hours before the last start unless given.
    [datetime] $Since,
    # Address of unhang, without a path. Nothing is reported without it.
    [string] $Url,
    # serverInstanceNo of this server.
    [ValidatePattern('^[1-9][0-9]{0,19}$')]
    [string] $ServerNo,
    # File with the secret of the source of kind guest (auth kind bearer). Only administrators should read it.
    [string] $TokenFile
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$culture = [Globalization.CultureInfo]::InvariantCulture

if ($Url -and (-not $ServerNo -or -not $TokenFile)) {
    throw 'With -Url give -ServerNo and -TokenFile as well.'
}

$lastStart = (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
if (-not $PSBoundParameters.ContainsKey('Since')) { $Since = $lastStart.AddHours(-24) }

$control = Get-ItemProperty -Path 'HKLM:\SYSTEM\CurrentControlSet\Control\CrashControl'
$dumpFile = '%SystemRoot%\MEMORY.DMP'
if ($control.PSObject.Properties['DumpFile'] -and $control.DumpFile) { $dumpFile = $control.DumpFile }
$dumpPath = [Environment]::ExpandEnvironmentVariables($dumpFile)

$unclean = @(Get-WinEvent -ErrorAction SilentlyContinue -FilterHashtable @{
        LogName = 'System'; ProviderName = 'Microsoft-Windows-Kernel-Power'; Id = 41; StartTime = $Since
    })
if ($unclean.Count -gt 0) { Write-Output "event 41 at $($unclean[0].TimeCreated): the system stopped without a shutdown" }

$bugcheck = $null
$events = @(Get-WinEvent -ErrorAction SilentlyContinue -FilterHashtable @{
        LogName = 'System'; ProviderName = 'Microsoft-Windows-WER-SystemErrorReporting'; Id = 1001; StartTime = $Since
    })
if ($events.Count -gt 0) {
    Write-Output "event 1001 at $($events[0].TimeCreated): $($events[0].Message)"
    if ($events[0].Message -match '0x[0-9a-fA-F]{8}') { $bugcheck = $Matches[0].ToLowerInvariant() }
}

if (-not (Test-Path -LiteralPath $dumpPath -PathType Leaf)) {
    Write-Output "no dump: $dumpPath is not there"
    exit 0
}
$dump = Get-Item -LiteralPath $dumpPath -Force
if ($dump.LastWriteTime -lt $Since) {
    Write-Output "no new dump: $dumpPath was written at $($dump.LastWriteTime), before $Since"
    exit 0
}

$attestation = @{
    kind      = 'dump_found'
    at        = (Get-Date).ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", $culture)
    path      = [string] $dump.FullName
    sizeBytes = [long] $dump.Length
    writtenAt = $dump.LastWriteTimeUtc.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", $culture)
}
if ($bugcheck) { $attestation['bugcheckCode'] = $bugcheck }
$json = ConvertTo-Json -InputObject $attestation -Depth 3
Write-Output $json

if ($Url) {
    $address = $Url.TrimEnd('/') + "/api/v1/servers/$ServerNo/attestations"
    if ($PSCmdlet.ShouldProcess($address, 'report the dump')) {
        [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
        $token = (Get-Content -Path $TokenFile -TotalCount 1).Trim()
        $headers = @{ Authorization = "Bearer $token" }
        $body = [System.Text.Encoding]::UTF8.GetBytes($json)
        $answer = Invoke-RestMethod -Method Post -Uri $address -Headers $headers -ContentType 'application/json' `
            -Body $body -TimeoutSec 30
        Write-Output "reported: attestation $($answer.attestationId)"
        if ($answer.confirmedRemediationId) { Write-Output "it confirmed remediation $($answer.confirmedRemediationId)" }
    }
}
