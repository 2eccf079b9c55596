#!/bin/sh
# Installs clerk-credential-helper for this user, with the names by which git, docker, cargo and bazel call it: from this
# checkout, where it lies in one, or a release. "sh install.sh --help" has the options.
#
# The shell reads a function to its end before it runs it, and calls main on the last line: a script that was cut off on its
# way does nothing.

settings() {
	program=clerk-credential-helper
	# terraform-credentials-clerk and keyring are linked by hand: see docs/tools/terraform.md and docs/tools/pip.md.
	links="git-credential-clerk docker-credential-clerk cargo-credential-clerk bazel-credential-clerk"
	# A fork that publishes releases gives these their defaults.
	releases=${CLERK_HELPER_RELEASES:-}
	keys=${CLERK_HELPER_RELEASE_KEY:-}
	required=${CLERK_HELPER_REQUIRE_SIGNATURE:-}
	[ "$required" != 0 ] || required=
}

usage() {
	cat <<'END'
Installs clerk-credential-helper to DIR/bin and DIR/share (default: ~/.local), without root's rights.

  ./install.sh [--prefix DIR]                 in a checkout: builds, with Go, and installs
  ./install.sh --version VERSION [--prefix DIR]
                                              installs that release, or the latest: outside of a checkout
                                              this needs no --version. The latest one does not replace a newer one
      --require-signature                     installs a release only if its signature could be checked
  ./install.sh --uninstall [--prefix DIR]     takes the program out of the files of tools (unset --all), offers
                                              to sign out (logout --all), and removes what it installed
      --yes     with --uninstall: does both without asking
      --force   with --uninstall: does neither, and removes the program all the same

A release is looked for at the address in CLERK_HELPER_RELEASES, which has the layout of GitHub's releases, and its SHA-256
is compared. CLERK_HELPER_RELEASE_KEY is the key that it must be signed with: minisign's public key, or the fingerprint of an
OpenPGP key that gpg knows. Where there is no key, or no program for it, the signature is not checked, and install.sh says so;
CLERK_HELPER_REQUIRE_SIGNATURE=1 is the same as --require-signature.
END
}

main() {
	set -eu
	umask 022
	settings
	prefix=''
	version=''
	yes=''
	force=''
	action=install
	while [ $# -gt 0 ]; do
		case $1 in
		--prefix | --version)
			[ $# -ge 2 ] && [ -n "$2" ] || fail "$1 needs a value"
			case $1 in
			--prefix) prefix=$2 ;;
			*) version=$2 ;;
			esac
			shift
			;;
		--prefix=?*) prefix=${1#--prefix=} ;;
		--version=?*) version=${1#--version=} ;;
		--require-signature) required=yes ;;
		--uninstall) action=uninstall ;;
		-y | --yes) yes=--yes ;;
		--force) force=yes ;;
		-h | --help)
			usage
			return
			;;
		*) fail "unknown option: $1 (--help lists them)" ;;
		esac
		shift
	done
	if [ -z "$prefix" ]; then
		[ -n "${HOME:-}" ] || fail "HOME is not set; give --prefix DIR"
		if [ -n "${SUDO_USER:-}" ] && [ "$(id -u)" = 0 ]; then
			fail "as root it would install into a person's folder: run it without sudo, or give --prefix /usr/local"
		fi
		prefix=$HOME/.local
	fi
	case $prefix in
	/*) ;;
	*) prefix=$(pwd)/$prefix ;;
	esac
	bin=$prefix/bin
	share=$prefix/share
	receipt=$share/$program/installed
	found=
	[ ! -f "$bin/$program" ] || found=$("$bin/$program" version 2>/dev/null </dev/null) || found=
	belongs=$(echo "$found" | sed -n 's/^installed by \([a-z]*\): .*/\1/p')
	case $belongs in
	deb | rpm | apk | pacman) fail "$bin/$program is of the $belongs package, which upgrades and removes it; nothing was changed" ;;
	esac
	installed=$(echo "$found" | sed -n "1s/^$program \([0-9][^ ]*\).*/\1/p")
	"$action"
}

install() {
	for name in $links; do
		if { [ -e "$bin/$name" ] || [ -L "$bin/$name" ]; } && ! ours "$bin/$name"; then
			fail "$bin/$name exists and is not ours; nothing was changed"
		fi
	done
	made=
	fresh=$bin/.$program.$$
	work=$(mktemp -d "${TMPDIR:-/tmp}/$program.XXXXXXXX") || fail "no temporary folder could be made"
	trap clean EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM

	if [ -z "$version" ] && checkout=$(checkout); then
		from=checkout
		[ -z "$required" ] || fail "what is built from a checkout has no signature; --version installs a release; nothing was changed"
		build
	else
		download
		from="release $version"
	fi

	if [ ! -d "$bin" ]; then
		made=$bin
		while [ ! -d "$(dirname "$made")" ]; do
			made=$(dirname "$made")
		done
		mkdir -p "$bin" 2>"$work/error" || refuse "$bin cannot be made; nothing was changed (--prefix DIR names another folder)"
	fi
	# A copy, also of what was built: the linker's own output file starts more slowly until the next reboot.
	cp "$work/$program" "$fresh" 2>"$work/error" || refuse "$bin cannot be written; nothing was changed (--prefix DIR names another folder)"
	chmod 755 "$fresh"
	"$fresh" version >"$work/version" 2>"$work/error" || refuse "the program does not run on this machine; nothing was changed"
	mv -f "$fresh" "$bin/$program" 2>"$work/error" || refuse "$bin/$program cannot be replaced; nothing was changed"
	made=
	for name in $links; do
		ours "$bin/$name" || ln -s "$program" "$bin/$name"
	done
	old=
	[ ! -f "$receipt" ] || old=$(listed)
	echo "install.sh $from" >"$work/installed"
	pages
	completion bash "bash-completion/completions/$program"
	completion zsh "zsh/site-functions/_$program"
	completion fish "fish/vendor_completions.d/$program.fish"
	for file in $old; do # of a release that had other pages
		grep -qxF "$file" "$work/installed" || rm -f "$prefix/$file"
	done
	mkdir -p "$share/$program"
	cp "$work/installed" "$receipt"

	echo "installed in $bin: $(head -n 1 "$work/version")"
	case :${PATH:-}: in
	*:"$bin":*) ;;
	*)
		case ${SHELL:-} in
		*/fish)
			echo "put that folder in the PATH:"
			echo "  fish_add_path \"$bin\""
			;;
		*)
			# shellcheck disable=SC2088 # it is for the reader
			profile='~/.profile'
			# shellcheck disable=SC2088
			case ${SHELL:-} in */zsh) profile='~/.zprofile' ;; esac
			echo "put that folder in the PATH, for example in $profile:"
			echo "  export PATH=\"$bin:\$PATH\""
			;;
		esac
		;;
	esac
	echo "next: $program setup, or $program demo to see it at work"
}

# checkout prints the checkout that this script lies in, if it was called as a file of one.
checkout() {
	case ${0##*/} in install.sh) ;; *) return 1 ;; esac
	[ -f "$0" ] || return 1
	source=$(cd "$(dirname "$0")" && pwd) || return 1
	grep -qsx "module $program" "$source/go.mod" || return 1
	echo "$source"
}

build() {
	command -v go >/dev/null 2>&1 || fail "Go is needed to build (https://go.dev/dl; the version is in go.mod); --version installs a release"
	echo "building from $checkout: a minute the first time ..."
	# macOS keeps its keychain behind cgo. Elsewhere a static binary starts faster.
	case $(uname -s) in
	Darwin) cgo=1 ;;
	*) cgo=0 ;;
	esac
	(cd "$checkout" && CGO_ENABLED=$cgo go build -trimpath -ldflags='-s -w' -o "$work/$program" "./cmd/$program") ||
		fail "it could not be built; nothing was changed"
}

# download puts the program of a release into $work, checked, and sets version.
download() {
	case $releases in
	*@* | *\?* | *\#*) fail "CLERK_HELPER_RELEASES has a user, a query or a fragment, which the address of a place has not" ;;
	"") fail "no place of releases is configured: set CLERK_HELPER_RELEASES to its address, or run this script in a checkout" ;;
	https://?*) protocols="=https" ;;
	http://127.0.0.1[:/]* | http://localhost[:/]* | "http://[::1]"[:/]*) protocols="=http,https" ;;
	*) fail "CLERK_HELPER_RELEASES is not an https address" ;;
	esac
	releases=${releases%/}
	case ${version#v} in
	*[!0-9A-Za-z.+-]*) fail "this is no version: $version" ;;
	"" | latest) wanted='' place=$releases/latest/download ;;
	*) wanted=${version#v} place=$releases/download/v${version#v} ;;
	esac
	system
	command -v curl >/dev/null 2>&1 || command -v wget >/dev/null 2>&1 || fail "curl or wget is needed to download a release"
	[ -n "$(sum /dev/null)" ] || fail "nothing here computes SHA-256: install sha256sum, shasum or openssl; nothing was changed"

	echo "looking for a release for $system at $releases ..."
	fetch "$place/checksums.txt" "$work/checksums.txt"
	signature
	archive='' digest=''
	while read -r sum name; do
		name=${name#\*}
		case $name in
		"${program}_"*"_$system.tar.gz")
			[ -z "$archive" ] || fail "the list of the release's files names $system twice; nothing was changed"
			archive=$name digest=$sum
			;;
		esac
	done <"$work/checksums.txt"
	[ -n "$archive" ] || fail "the release has no archive for $system; nothing was changed"
	version=${archive#"${program}_"}
	version=${version%"_$system.tar.gz"}
	case $version in
	"" | *[!0-9A-Za-z.+-]*) fail "the list of the release's files is not of its form; nothing was changed" ;;
	esac
	[ -z "$wanted" ] || [ "$wanted" = "$version" ] || fail "the place of release $wanted has release $version; nothing was changed"
	# A signature does not say which release is the latest: its place could bring back one that has a known fault.
	if [ -n "$installed" ] && [ "$(order "$version" "$installed")" != "not older" ]; then
		words="release $version is older than $installed, which is installed"
		[ -n "$wanted" ] || fail "$words: --version $version installs it; nothing was changed"
		echo "$words"
	fi

	echo "downloading $archive ..."
	fetch "$releases/download/v$version/$archive" "$work/$archive"
	if [ "$(sum "$work/$archive")" != "$digest" ]; then
		fail "the SHA-256 of $archive is not the one in checksums.txt: it was cut off or changed on its way; nothing was changed"
	fi
	echo "its SHA-256 is the one in checksums.txt"
	if ! gzip -dc "$work/$archive" | (cd "$work" && tar -xf -) || [ ! -f "$work/$program" ]; then
		fail "$archive could not be unpacked; nothing was changed"
	fi
	# A shell takes a program of another processor for a script.
	[ "$(bytes 0 4)" != 7f454c46 ] || [ "$(bytes 18 2)" = "$elf" ] || fail "the program in $archive is not for $machine; nothing was changed"
}

# bytes prints $2 bytes of the program from $1 on.
bytes() {
	od -A n -t x1 -j "$1" -N "$2" "$work/$program" | tr -d ' \n'
}

# signature checks the list of the release's files with each key that is configured, where there is a program for it.
signature() {
	set -- $keys
	[ $# -gt 0 ] || unchecked "CLERK_HELPER_RELEASE_KEY names no key"
	for key; do
		case $key in
		RW*) with=minisign suffix=minisig ;;
		*[!0-9A-Fa-f]*) fail "CLERK_HELPER_RELEASE_KEY is neither a public key of minisign nor a fingerprint" ;;
		????????????????????????????????????????) with=gpg suffix=asc ;;
		*) fail "CLERK_HELPER_RELEASE_KEY is not a whole fingerprint of 40 digits" ;;
		esac
		if ! command -v "$with" >/dev/null 2>&1; then
			unchecked "$with is not installed"
			continue
		fi
		fetch "$place/checksums.txt.$suffix" "$work/checksums.txt.$suffix"
		if [ "$with" = minisign ]; then
			minisign -V -q -P "$key" -m "$work/checksums.txt" -x "$work/checksums.txt.minisig" >/dev/null 2>"$work/error" ||
				refuse "the signature is not of the key $key; nothing was changed"
		else
			gpg --batch --status-fd 3 --verify "$work/checksums.txt.asc" "$work/checksums.txt" 3>"$work/status" 2>"$work/error" ||
				refuse "gpg does not accept the signature; nothing was changed"
			key=$(echo "$key" | tr abcdef ABCDEF)
			grep -q "^\[GNUPG:\] GOODSIG " "$work/status" && grep -qE "^\[GNUPG:\] VALIDSIG ($key .*|.* $key)\$" "$work/status" ||
				fail "the signature is not of the key $key; nothing was changed"
		fi
		echo "checksums.txt is signed with the key $key"
	done
}

# unchecked says that the signature is not checked, and why, or fails if it has to be.
unchecked() {
	[ -z "$required" ] || fail "the signature cannot be checked: $1; nothing was changed"
	echo "the signature was NOT checked: $1"
}

# order prints "older" if version $1 is older than $2, and otherwise "not older", as semver.org has it, but that what follows a
# hyphen is compared as text. What is not of its form is older.
order() {
	printf '%s\n%s\n' "$1" "$2" | awk '
		{
			sub(/\+.*/, "")
			before[NR] = "" # what a version before a release has behind its hyphen
			if (match($0, /-.*/)) before[NR] = substr($0, RSTART + 1)
			sub(/-.*/, "")
			split($0, number, ".")
			for (i = 1; i <= 3; i++) numbers[NR, i] = number[i] + 0
		}
		END {
			older = before[1] != "" && (before[2] == "" || before[1] < before[2])
			for (i = 3; i >= 1; i--) if (numbers[1, i] != numbers[2, i]) older = numbers[1, i] < numbers[2, i]
			print older ? "older" : "not older"
		}'
}

# system sets the system and the architecture, as they stand in the names of archives, and the number of that processor.
system() {
	machine=$(uname -m)
	case $(uname -s) in
	Linux) os=linux ;;
	FreeBSD) os=freebsd ;;
	Darwin)
		os=darwin
		# A translated shell takes Apple's processor for Intel's.
		[ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" != 1 ] || machine=arm64
		;;
	MINGW* | MSYS* | CYGWIN* | Windows*) fail "for Windows there is install.ps1" ;;
	*) fail "there is no release for $(uname -s); nothing was changed" ;;
	esac
	case $machine in
	x86_64 | amd64) system=${os}_amd64 elf=3e00 ;;
	aarch64 | arm64) system=${os}_arm64 elf=b700 ;;
	*) fail "there is no release for $(uname -s) on $machine; nothing was changed" ;;
	esac
}

# fetch downloads $1 to the file $2.
fetch() {
	if command -v curl >/dev/null 2>&1; then
		curl --fail --silent --show-error --location --max-redirs 5 --proto "$protocols" --proto-redir "$protocols" \
			--connect-timeout 20 --speed-time 60 --speed-limit 1 --max-filesize 200000000 --output "$2" "$1" 2>"$work/error" && return
	else
		# -S prints the answers: wget follows a redirect from https to http, and cannot be told not to.
		case $(wget --version 2>&1) in
		*GNU*) wget -S --no-verbose --tries=1 --timeout=60 --max-redirect=5 -O "$2" "$1" 2>"$work/error" && got=yes || got= ;;
		*) wget -S -O "$2" "$1" 2>"$work/error" && got=yes || got= ;;
		esac
		! grep -q "validation not implemented" "$work/error" || fail "this wget does not check who answers: install curl; nothing was changed"
		if [ -n "$got" ]; then
			if [ "$protocols" = "=https" ] && grep -qi '^[[:blank:]]*location:[[:blank:]]*http:' "$work/error"; then
				fail "$1 leads to an address without TLS; nothing was changed"
			fi
			return 0
		fi
	fi
	refuse "$1 could not be downloaded; nothing was changed"
}

# sum prints the SHA-256 of a file, or nothing if no program computes it.
sum() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum <"$1" | cut -d ' ' -f 1
	elif command -v shasum >/dev/null 2>&1; then
		shasum -a 256 <"$1" | cut -d ' ' -f 1
	elif command -v sha256 >/dev/null 2>&1; then
		sha256 -q <"$1"
	elif command -v openssl >/dev/null 2>&1; then
		openssl dgst -sha256 -r <"$1" | cut -d ' ' -f 1
	fi
}

# pages installs the manual pages of the archive, or the one that the program prints, and adds them to the list.
pages() {
	for page in "$work"/man/*.[1-8]; do
		[ -f "$page" ] || continue
		page=${page##*/}
		put "$work/man/$page" "share/man/man${page##*.}/$page"
	done
	if [ ! -f "$work/man/$program.1" ]; then
		"$bin/$program" man >"$work/page"
		put "$work/page" "share/man/man1/$program.1"
	fi
}

completion() {
	"$bin/$program" completion "$1" >"$work/words"
	put "$work/words" "share/$2"
}

# put installs the file $1 as $2, below the prefix, and adds it to the list of what was installed.
put() {
	mkdir -p "$(dirname "$prefix/$2")"
	cp "$1" "$prefix/$2"
	chmod 644 "$prefix/$2"
	echo "$2" >>"$work/installed"
}

# listed prints the files that an earlier run has installed, beside the program and its links.
listed() {
	[ -f "$receipt" ] || return 0
	while read -r file; do
		case $file in
		*..* | *[!0-9A-Za-z._/-]*) ;;
		share/man/man[1-8]/?* | share/bash-completion/completions/?* | share/zsh/site-functions/?* | share/fish/vendor_completions.d/?*) echo "$file" ;;
		esac
	done <"$receipt"
}

uninstall() {
	signed_out=
	if [ -f "$bin/$program" ] && [ -z "$force" ]; then
		answers=/dev/null # standard input may be this script
		if { [ -t 0 ] || [ -t 1 ]; } && (: </dev/tty) 2>/dev/null; then
			answers=/dev/tty
		fi
		echo "taking $program out of the files of tools ($program unset --all) ..."
		# shellcheck disable=SC2086 # no word if there is no --yes
		"$bin/$program" unset --all $yes <"$answers" || fail "tools may still call $program, so nothing was removed: without it git and docker fail.
install.sh: --yes makes these changes without asking; --force removes the program all the same"
		if "$bin/$program" status >/dev/null 2>&1 </dev/null; then # there is a profile
			if [ -n "$yes" ] || confirm "Sign out of all profiles too ($program logout --all)?"; then
				"$bin/$program" logout --all <"$answers" || fail "not every session could be ended, so nothing was removed; --force removes the program all the same"
				signed_out=yes
			fi
		fi
	fi

	removed=
	for name in $links; do
		if ours "$bin/$name"; then
			rm -f "$bin/$name"
			removed=yes
		fi
	done
	for file in "bin/$program" "share/man/man1/$program.1" $(listed); do
		if [ -f "$prefix/$file" ]; then
			rm -f "$prefix/$file"
			removed=yes
		fi
	done
	rm -f "$receipt"
	rmdir "$share/$program" 2>/dev/null || true
	if [ -z "$removed" ]; then
		echo "$program is not installed in $bin"
		return
	fi
	echo "removed $program, its links, manual pages and completions from $prefix"
	[ -z "$force" ] || echo "left: the lines of 'setup' in the files of tools, which fail without it"
	[ -n "$signed_out" ] || echo "left: sessions, if you were signed in; install it again and run '$program logout --all' to end them"
	for folder in "${XDG_CONFIG_HOME:-${HOME:-}/.config}/$program" "${XDG_STATE_HOME:-${HOME:-}/.local/state}/$program"; do
		[ ! -d "$folder" ] || echo "left: $folder"
	done
}

# confirm asks a question, and reports whether the answer was yes.
confirm() {
	[ "$answers" != /dev/null ] || return 1
	printf '%s [y/N] ' "$1"
	read -r answer <"$answers" || return 1
	case $answer in y | Y | yes | Yes | YES) ;; *) return 1 ;; esac
}

# ours reports whether $1 is a link that this script made.
ours() {
	[ -L "$1" ] && [ "$(readlink "$1")" = "$program" ]
}

# clean removes what an installation has made that has not come to its end.
clean() {
	rm -rf "$work"
	rm -f "$fresh"
	[ -n "$made" ] || return 0
	folder=$bin
	while rmdir "$folder" 2>/dev/null && [ "$folder" != "$made" ]; do
		folder=$(dirname "$folder")
	done
}

# refuse is fail, after what the program that failed has said.
refuse() {
	sed 's/^/  /' "$work/error" >&2 2>/dev/null || true
	fail "$1"
}

fail() {
	echo "install.sh: $1" >&2
	exit 1
}

{ main "$@"; exit; }
