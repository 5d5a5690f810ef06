<#
.SYNOPSIS
  Sets what Windows does when it stops, so that a diagnostic interrupt leaves a memory dump, and reports it to unhang.

.DESCRIPTION
  Sets the values below HKLM\SYSTEM\CurrentControlSet\Control\CrashControl, looks at the page file and the free disk
  space, prints what it changed and what is still missing, and reports the settings when -Url is given. Running it again
  changes nothing. -WhatIf only tells. Most settings count after the next restart.

  Written for Windows PowerShell 5.1, to be run as administrator.

.EXAMPLE
  .\Set-CrashDump.ps1 -WhatIf

.EXAMPLE
  .\Set-CrashDump.ps1 -DumpType Kernel -Url https://unhang.example -ServerNo 4299 -TokenFile C:\unhang\guest-token
#>
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    # Complete holds what applications had in memory as well; Automatic is what Windows does by itself.
    [ValidateSet('Complete', 'Kernel', 'Automatic')]
    [string] $DumpType = 'Complete',
    # Address of unhang, without a path. Nothing is reported without it.
    [string] $Url,
    # serverInstanceNo of this server.
    [ValidatePattern('^[1-9][0-9]{0,19}$')]
    [string] $ServerNo,
    # File with the secret of the source of kind guest (auth kind bearer). Only administrators should read it.
    [string] $TokenFile,
    # Only report; change nothing.
    [switch] $ReportOnly
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$culture = [Globalization.CultureInfo]::InvariantCulture

if ($Url -and (-not $ServerNo -or -not $TokenFile)) {
    throw 'With -Url give -ServerNo and -TokenFile as well.'
}

$key = 'HKLM:\SYSTEM\CurrentControlSet\Control\CrashControl'
$types = @{ Complete = 1; Kernel = 2; Automatic = 7 }

# The value as it is; $null where there is none.
function Get-Setting([string] $Name) {
    $item = Get-ItemProperty -Path $key
    if ($item.PSObject.Properties[$Name]) { return $item.$Name }
    return $null
}

$wanted = @(
    @{ Name = 'CrashDumpEnabled'; Value = $types[$DumpType] },
    @{ Name = 'AlwaysKeepMemoryDump'; Value = 1 },
    @{ Name = 'AutoReboot'; Value = 1 },
    @{ Name = 'Overwrite'; Value = 1 },
    @{ Name = 'NMICrashDump'; Value = 1 }
)

$changed = 0
if (-not $ReportOnly) {
    foreach ($one in $wanted) {
        $now = Get-Setting $one.Name
        if ($now -eq $one.Value) { continue }
        $shown = $now
        if ($null -eq $now) { $shown = 'not set' }
        if ($PSCmdlet.ShouldProcess("$key\$($one.Name)", "set $($one.Value) (was $shown)")) {
            New-ItemProperty -Path $key -Name $one.Name -PropertyType DWord -Value $one.Value -Force | Out-Null
            Write-Output "changed $($one.Name): $shown -> $($one.Value)"
            $changed++
        }
    }
    if ($changed -eq 0) { Write-Output 'nothing changed' } else { Write-Output 'restart once for the changes to count' }
}

# What is there now.
$system = Get-CimInstance -ClassName Win32_ComputerSystem
$memoryMiB = [long] [math]::Ceiling($system.TotalPhysicalMemory / 1MB)
$pageFileMiB = [long] 0
foreach ($file in @(Get-CimInstance -ClassName Win32_PageFileUsage)) { $pageFileMiB += [long] $file.AllocatedBaseSize }
$dumpFile = Get-Setting 'DumpFile'
if (-not $dumpFile) { $dumpFile = '%SystemRoot%\MEMORY.DMP' }
$dumpPath = [Environment]::ExpandEnvironmentVariables($dumpFile)
$drive = [System.IO.Path]::GetPathRoot($dumpPath).TrimEnd('\')
$disk = Get-CimInstance -ClassName Win32_LogicalDisk -Filter "DeviceID='$drive'"
$freeDiskMiB = [long] 0
if ($disk) { $freeDiskMiB = [long] [math]::Floor($disk.FreeSpace / 1MB) }

$enabled = Get-Setting 'CrashDumpEnabled'
if ($null -eq $enabled) { $enabled = 0 }
if ($enabled -eq 1 -and $pageFileMiB -lt ($memoryMiB + 257)) {
    Write-Warning "the page file has $pageFileMiB MiB; a complete dump needs $($memoryMiB + 257) MiB on the system drive"
}
if ($enabled -ne 0 -and $freeDiskMiB -lt $memoryMiB) {
    Write-Warning "$drive has $freeDiskMiB MiB free; the dump may need $memoryMiB MiB"
}

$settings = @{
    crashDumpEnabled = [int] $enabled
    dumpFile         = [string] $dumpFile
    autoReboot       = ((Get-Setting 'AutoReboot') -eq 1)
    pageFileMiB      = $pageFileMiB
    freeDiskMiB      = $freeDiskMiB
    memoryMiB        = $memoryMiB
}
# A value that is not set is not reported: Windows then does what it does by itself.
$optional = @{ alwaysKeepMemoryDump = 'AlwaysKeepMemoryDump'; overwrite = 'Overwrite'; nmiCrashDump = 'NMICrashDump' }
foreach ($name in $optional.Keys) {
    $value = Get-Setting $optional[$name]
    if ($null -ne $value) { $settings[$name] = ($value -eq 1) }
}

$attestation = @{
    kind     = 'dump_settings'
    at       = (Get-Date).ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", $culture)
    settings = $settings
}
$json = ConvertTo-Json -InputObject $attestation -Depth 4
Write-Output $json

if ($Url) {
    $address = $Url.TrimEnd('/') + "/api/v1/servers/$ServerNo/attestations"
    if ($PSCmdlet.ShouldProcess($address, 'report the settings')) {
        [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
        $token = (Get-Content -Path $TokenFile -TotalCount 1).Trim()
        $headers = @{ Authorization = "Bearer $token" }
        $body = [System.Text.Encoding]::UTF8.GetBytes($json)
        $answer = Invoke-RestMethod -Method Post -Uri $address -Headers $headers -ContentType 'application/json' `
            -Body $body -TimeoutSec 30
        Write-Output "reported: attestation $($answer.attestationId)"
    }
}
