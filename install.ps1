<#
.SYNOPSIS
Installs clerk-credential-helper for this user, with the names by which git, docker, cargo and bazel call it.

.DESCRIPTION
In a checkout it builds the program, with Go. Outside of one, or with -Version, it installs a release from the address in
CLERK_HELPER_RELEASES, which has the layout of GitHub's releases, and compares its SHA-256. CLERK_HELPER_RELEASE_KEY is the
public key of minisign that the release must be signed with. Where there is no key, or no minisign, the signature is not checked,
and the script says so; with -RequireSignature, or CLERK_HELPER_REQUIRE_SIGNATURE=1, it installs nothing then. The latest release
does not replace a newer one; -Version does. It needs no administrator, and changes nothing if anything fails.

-Uninstall takes the program out of the files of tools (unset --all), offers to sign out (logout --all), and removes what it
installed. -Yes does both without asking; -Force does neither.

.EXAMPLE
.\install.ps1

.EXAMPLE
.\install.ps1 -Version 1.2.3 -Prefix D:\Tools\clerk

.EXAMPLE
.\install.ps1 -Uninstall
#>

# PowerShell reads a script to its end before it runs it, also one that comes by "irm URL | iex". All of it is one block, so one
# that was cut off on its way does nothing. It is for Windows PowerShell 5.1 and PowerShell 7.
param(
    [string] $Version = '',
    [string] $Prefix = '',
    [switch] $RequireSignature,
    [switch] $Uninstall,
    [switch] $Yes,
    [switch] $Force
)

& {
    Set-StrictMode -Version 2
    $ErrorActionPreference = 'Stop'
    $ProgressPreference = 'SilentlyContinue' # Windows PowerShell downloads at a tenth of the speed otherwise

    $program = 'clerk-credential-helper'
    $names = 'git-credential-clerk', 'docker-credential-clerk', 'cargo-credential-clerk', 'bazel-credential-clerk'
    # A fork that publishes releases gives these their defaults.
    $releases = "$env:CLERK_HELPER_RELEASES".TrimEnd('/')
    $key = "$env:CLERK_HELPER_RELEASE_KEY"
    $required = $RequireSignature -or "$env:CLERK_HELPER_REQUIRE_SIGNATURE" -notin '', '0' # iex takes no options

    $script = $PSCommandPath # empty for iex

    # Invoke-Program runs a program of ours, with its output on the screen, and returns its exit status.
    function Invoke-Program([string] $file, [string[]] $arguments) {
        & $file @arguments | Out-Host
        $LASTEXITCODE
    }

    # Get-Checkout returns the checkout that this script lies in, or nothing.
    function Get-Checkout {
        if (-not $script) { return }
        $root = Split-Path -Parent $script
        $module = Join-Path $root 'go.mod'
        if ((Test-Path -LiteralPath $module) -and (Select-String -LiteralPath $module -Pattern "^module $program`$" -Quiet)) { $root }
    }

    # Get-Architecture returns this machine's, as it stands in the names of archives. A process of 32 bits, or a translated
    # one, sees another one in PROCESSOR_ARCHITECTURE.
    function Get-Architecture {
        $native = "$env:PROCESSOR_ARCHITEW6432"
        if (-not $native) { $native = "$env:PROCESSOR_ARCHITECTURE" }
        switch ($native) {
            'AMD64' { 'amd64' }
            'ARM64' { 'arm64' }
            default { throw "there is no release for Windows on $native; nothing was changed" }
        }
    }

    # Test-Address reports whether what comes from an address cannot have been changed on its way: by TLS, or on this machine.
    function Test-Address([Uri] $address) {
        $address.Scheme -eq 'https' -or ($address.Scheme -eq 'http' -and $address.IsLoopback)
    }

    # Save-File downloads an address to a file, of at most 200 MB. It follows redirects itself: Windows PowerShell's
    # Invoke-WebRequest would also follow one from https to http.
    function Save-File([string] $address, [string] $file) {
        try {
            $uri = [Uri] $address
            for ($redirects = 0; $redirects -le 5; $redirects++) {
                if (-not (Test-Address $uri)) { throw "it leads to $($uri.Scheme)://$($uri.Authority), an address without TLS" }
                $request = [Net.HttpWebRequest] [Net.WebRequest]::Create($uri)
                $request.AllowAutoRedirect = $false # then an answer below 400 is no error
                $request.UserAgent = 'install.ps1'
                $request.Timeout = 60000
                $request.ReadWriteTimeout = 60000
                $response = $request.GetResponse()
                try {
                    $status = [int] $response.StatusCode
                    if ($status -eq 200) {
                        Save-Body $response $file
                        return
                    }
                    $to = $response.Headers['Location']
                    if ($status -notin 301, 302, 303, 307, 308 -or -not $to) { throw "the server answered $status" }
                    $uri = New-Object Uri $uri, $to
                } finally {
                    $response.Close()
                }
            }
            throw 'it leads from one address to another, too often'
        } catch {
            throw "$address could not be downloaded ($($_.Exception.Message)); nothing was changed"
        }
    }

    # Save-Body writes the body of an answer to a file.
    function Save-Body([Net.HttpWebResponse] $response, [string] $file) {
        $from = $response.GetResponseStream()
        $to = [IO.File]::Create($file)
        try {
            $part = New-Object byte[] 65536
            $all = 0
            while (($n = $from.Read($part, 0, $part.Length)) -gt 0) {
                $all += $n
                if ($all -gt 200000000) { throw 'it is too long' }
                $to.Write($part, 0, $n)
            }
        } finally {
            $to.Close()
            $from.Close()
        }
        if ($response.ContentLength -ge 0 -and $all -ne $response.ContentLength) { throw 'the connection ended early' }
    }

    # Get-Installed returns the version of the program that is installed, or nothing.
    function Get-Installed {
        $own = Join-Path $bin "$program.exe"
        if (-not (Test-Path -LiteralPath $own)) { return }
        $words = ''
        try { $words = & $own version } catch { return } # it does not run
        if ("$(@($words)[0])" -match "\A$program (\d\S*)") { $Matches[1] }
    }

    # Test-Older reports whether one version is older than another, as semver.org has it, but that what follows a hyphen is
    # compared as text. What is not of its form is older.
    function Test-Older([string] $one, [string] $other) {
        $form = '\A(\d{1,9}\.\d{1,9}\.\d{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?\z'
        if ($one -notmatch $form) { return $true }
        $number = [version] $Matches[1]
        $before = "$($Matches[2])"
        if ($other -notmatch $form) { return $false }
        $otherNumber = [version] $Matches[1]
        $otherBefore = "$($Matches[2])"
        if ($number -ne $otherNumber) { return $number -lt $otherNumber }
        if (-not $before -or -not $otherBefore) { return [bool] $before }
        [string]::CompareOrdinal($before, $otherBefore) -lt 0
    }

    # Write-Unchecked says that the signature is not checked, and why, or fails if it has to be.
    function Write-Unchecked([string] $why) {
        if ($required) { throw "the signature cannot be checked: $why; nothing was changed" }
        Write-Host "the signature was NOT checked: $why"
    }

    # Save-Release downloads a release into a folder, checks and unpacks it, and returns its version.
    function Save-Release([string] $work) {
        if (-not $releases) {
            throw 'no place of releases is configured: set CLERK_HELPER_RELEASES to its address, or run this script in a checkout'
        }
        $place = $null
        $null = [Uri]::TryCreate($releases, [UriKind]::Absolute, [ref] $place)
        if ($null -eq $place -or -not (Test-Address $place) -or $place.UserInfo -or $place.Query -or $place.Fragment) {
            throw 'CLERK_HELPER_RELEASES is not an https address without a user, a query or a fragment'
        }
        # Windows PowerShell may begin with TLS 1.0.
        [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
        $wanted = $Version -replace '^v', ''
        if ($wanted -and $wanted -notmatch '\A[0-9A-Za-z.+-]+\z') { throw "this is no version: $Version" }
        if (-not $wanted -or $wanted -eq 'latest') {
            $wanted = ''
            $from = "$releases/latest/download"
        } else {
            $from = "$releases/download/v$wanted"
        }
        $system = "windows_$(Get-Architecture)"
        Write-Host "looking for a release for $system at $releases ..."
        $list = Join-Path $work 'checksums.txt'
        Save-File "$from/checksums.txt" $list

        if (-not $key) {
            Write-Unchecked 'CLERK_HELPER_RELEASE_KEY names no key'
        } elseif ($key -notmatch '\ARW[0-9A-Za-z+/=]+\z') {
            throw 'CLERK_HELPER_RELEASE_KEY is not a public key of minisign'
        } elseif (-not (Get-Command minisign -CommandType Application -ErrorAction SilentlyContinue)) {
            Write-Unchecked 'minisign is not installed'
        } else {
            Save-File "$from/checksums.txt.minisig" "$list.minisig"
            if ((Invoke-Program 'minisign' @('-V', '-q', '-P', $key, '-m', $list, '-x', "$list.minisig")) -ne 0) {
                throw "the signature is not of the key $key; nothing was changed"
            }
            Write-Host "checksums.txt is signed with the key $key"
        }

        $form = "\A([0-9a-f]{64}) [ *]($([regex]::Escape($program))_([0-9A-Za-z.+-]+)_$system\.zip)\z"
        $found = @(Get-Content -LiteralPath $list | Where-Object { $_ -cmatch $form })
        if ($found.Count -eq 0) { throw "the release has no archive for $system; nothing was changed" }
        if ($found.Count -gt 1) { throw "the list of the release's files names $system more than once; nothing was changed" }
        $null = $found[0] -cmatch $form
        $digest, $archive, $is = $Matches[1], $Matches[2], $Matches[3]
        if ($wanted -and $wanted -cne $is) { throw "the place of release $wanted has release $is; nothing was changed" }
        # A signature does not say which release is the latest: its place could bring back one that has a known fault.
        $installed = Get-Installed
        if ($installed -and (Test-Older $is $installed)) {
            $words = "release $is is older than $installed, which is installed"
            if (-not $wanted) { throw "${words}: -Version $is installs it; nothing was changed" }
            Write-Host $words
        }

        Write-Host "downloading $archive ..."
        $file = Join-Path $work $archive
        Save-File "$releases/download/v$is/$archive" $file
        if ((Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash -ne $digest) {
            throw "the SHA-256 of $archive is not the one in checksums.txt: it was cut off or changed on its way; nothing was changed"
        }
        Write-Host 'its SHA-256 is the one in checksums.txt'
        Expand-Archive -LiteralPath $file -DestinationPath (Join-Path $work 'new') -Force
        if (-not (Test-Path -LiteralPath (Join-Path $work "new\$program.exe"))) { throw "$archive has no program in it; nothing was changed" }
        $is
    }

    # Move-Into puts a file in another one's place. Windows lets a program that runs be renamed, and not be replaced.
    function Move-Into([string] $from, [string] $to) {
        $old = "$to.old"
        if (Test-Path -LiteralPath $old) { Remove-Item -LiteralPath $old -Force -ErrorAction SilentlyContinue }
        if (Test-Path -LiteralPath $to) {
            if (Test-Path -LiteralPath $old) { $old = "$to.$PID.old" } # it still runs
            Move-Item -LiteralPath $to -Destination $old -Force
        }
        try {
            Move-Item -LiteralPath $from -Destination $to
        } catch {
            if (Test-Path -LiteralPath $old) { Move-Item -LiteralPath $old -Destination $to -Force }
            throw
        }
        Remove-Item -LiteralPath $old -Force -ErrorAction SilentlyContinue
    }

    # Install builds or downloads the program, and puts it and its names into the folder.
    function Install {
        foreach ($name in @($program) + $names) {
            if ((Test-Path -LiteralPath (Join-Path $bin "$name.exe")) -and -not (Test-Path -LiteralPath $receipt)) {
                throw "$(Join-Path $bin "$name.exe") exists and is not ours; nothing was changed"
            }
        }
        $work = Join-Path ([IO.Path]::GetTempPath()) "$program.$([Guid]::NewGuid().ToString('N'))"
        $null = New-Item -ItemType Directory -Path (Join-Path $work 'new')
        try {
            $built = Join-Path $work "new\$program.exe"
            $checkout = Get-Checkout
            if (-not $Version -and $checkout) {
                if (-not (Get-Command go -CommandType Application -ErrorAction SilentlyContinue)) {
                    throw 'Go is needed to build (https://go.dev/dl; the version is in go.mod); -Version installs a release'
                }
                if ($required) { throw 'what is built from a checkout has no signature; -Version installs a release; nothing was changed' }
                Write-Host "building from ${checkout}: a minute the first time ..."
                $cgo = $env:CGO_ENABLED
                $env:CGO_ENABLED = '0'
                Push-Location -LiteralPath $checkout
                try {
                    $status = Invoke-Program 'go' @('build', '-trimpath', '-ldflags=-s -w', '-o', $built, "./cmd/$program")
                } finally {
                    Pop-Location
                    $env:CGO_ENABLED = $cgo
                }
                if ($status -ne 0) { throw 'it could not be built; nothing was changed' }
                $what = 'checkout'
            } else {
                $what = "release $(Save-Release $work)"
            }
            $words = ''
            try { $words = & $built version } catch { throw "the program does not run on this machine ($($_.Exception.Message)); nothing was changed" }
            if ($LASTEXITCODE -ne 0) { throw 'the program does not run on this machine; nothing was changed' }

            $null = New-Item -ItemType Directory -Path $bin -Force
            # Copies: a link needs the developer mode, or an administrator. All are there before the first one is replaced.
            foreach ($name in @($program) + $names) {
                Copy-Item -LiteralPath $built -Destination (Join-Path $bin "$name.exe.new") -Force
            }
            foreach ($name in @($program) + $names) {
                Move-Into (Join-Path $bin "$name.exe.new") (Join-Path $bin "$name.exe")
            }
            $null = New-Item -ItemType Directory -Path (Split-Path -Parent $receipt) -Force
            [IO.File]::WriteAllText($receipt, "install.ps1 $what`n")
            Write-Host "installed in ${bin}: $(@($words)[0])"
            if (($env:Path -split ';') -notcontains $bin) {
                Write-Host 'put that folder in the PATH of this user, and open a new terminal:'
                Write-Host "  [Environment]::SetEnvironmentVariable('Path', [Environment]::GetEnvironmentVariable('Path', 'User') + ';$bin', 'User')"
            }
            Write-Host "next: $program setup, or $program demo to see it at work"
        } finally {
            foreach ($name in @($program) + $names) {
                Remove-Item -LiteralPath (Join-Path $bin "$name.exe.new") -Force -ErrorAction SilentlyContinue
            }
            Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue
        }
    }

    # Test-Profile reports whether a profile is configured.
    function Test-Profile([string] $own) {
        $ErrorActionPreference = 'Continue' # Windows PowerShell takes words on standard error for an error of its own
        $null = & $own status 2>&1
        $LASTEXITCODE -eq 0
    }

    # Uninstall takes the program out of the files of tools, and removes what Install has installed.
    function Uninstall {
        $own = Join-Path $bin "$program.exe"
        if (-not (Test-Path -LiteralPath $own)) {
            Write-Host "$program is not installed in $bin"
            return
        }
        if (-not (Test-Path -LiteralPath $receipt)) {
            throw "$own was not installed by this script: a package manager removes its own; nothing was removed"
        }
        $signedOut = $false
        if (-not $Force) {
            Write-Host "taking $program out of the files of tools ($program unset --all) ..."
            $arguments = @('unset', '--all')
            if ($Yes) { $arguments += '--yes' }
            # Not by Invoke-Program: it asks at the console.
            & $own @arguments
            if ($LASTEXITCODE -ne 0) {
                throw "tools may still call $program, so nothing was removed: without it git and docker fail. -Yes makes these changes without asking; -Force removes the program all the same"
            }
            if (Test-Profile $own) {
                if ($Yes -or (Read-Host "Sign out of all profiles too ($program logout --all)? [y/N]") -match '\A(y|yes)\z') {
                    & $own logout --all
                    if ($LASTEXITCODE -ne 0) { throw 'not every session could be ended, so nothing was removed; -Force removes the program all the same' }
                    $signedOut = $true
                }
            }
        }
        foreach ($name in $names + @($program)) {
            Get-ChildItem -LiteralPath $bin -Filter "$name.exe*" | Remove-Item -Force -ErrorAction SilentlyContinue
        }
        if (Test-Path -LiteralPath $own) { throw "$own could not be removed: does it run?" }
        Remove-Item -LiteralPath $receipt -Force
        foreach ($folder in (Split-Path -Parent $receipt), (Join-Path $Prefix 'share'), $bin, $Prefix) {
            if ((Test-Path -LiteralPath $folder) -and @(Get-ChildItem -LiteralPath $folder -Force).Count -eq 0) { Remove-Item -LiteralPath $folder }
        }
        Write-Host "removed $program and its other names from $Prefix"
        if ($Force) { Write-Host "left: the lines of 'setup' in the files of tools, which fail without it" }
        if (-not $signedOut) { Write-Host "left: sessions, if you were signed in; install it again and run '$program logout --all' to end them" }
        foreach ($folder in (Join-Path "$env:AppData" $program), (Join-Path "$env:LocalAppData" $program)) {
            if (Test-Path -LiteralPath $folder) { Write-Host "left: $folder" }
        }
        Write-Host "left: $bin in the PATH, if you have put it there"
    }

    try {
        if ($args.Count -gt 0) { throw "unknown option: $($args[0]) (Get-Help .\install.ps1 lists them)" }
        if (-not $Prefix) {
            if (-not $env:LocalAppData) { throw 'LocalAppData is not set; give -Prefix FOLDER' }
            $Prefix = Join-Path $env:LocalAppData "Programs\$program"
        }
        $Prefix = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($Prefix)
        $bin = Join-Path $Prefix 'bin'
        $receipt = Join-Path $Prefix "share\$program\installed"
        if ($Uninstall) { Uninstall } else { Install }
    } catch {
        if (-not $script) { throw } # iex: exit would close the terminal
        [Console]::Error.WriteLine("install.ps1: $($_.Exception.Message)")
        exit 1
    }
} @args
