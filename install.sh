#!/bin/sh
# Installs clerk-credential-helper from this checkout, with the names by which git, docker, cargo and bazel call it.
#
#   ./install.sh [--prefix DIR]      builds and installs to DIR/bin and DIR/share/man (default: ~/.local)
#   ./install.sh --uninstall [--prefix DIR]
#
# It writes nothing outside these folders, and removes only what it installed.
set -eu

program=clerk-credential-helper
# terraform-credentials-clerk and keyring are linked by hand: see docs/tools/terraform.md and docs/tools/pip.md.
links="git-credential-clerk docker-credential-clerk cargo-credential-clerk bazel-credential-clerk"

main() {
	bin=
	action=install
	while [ $# -gt 0 ]; do
		case $1 in
		--prefix)
			[ $# -ge 2 ] && [ -n "$2" ] || fail "--prefix needs a folder"
			bin=$2/bin
			shift 2
			;;
		--prefix=?*)
			bin=${1#--prefix=}/bin
			shift
			;;
		--uninstall)
			action=uninstall
			shift
			;;
		-h | --help)
			sed -n '2,7s/^# \{0,1\}//p' "$0"
			return
			;;
		*) fail "unknown option: $1 (--help lists them)" ;;
		esac
	done
	if [ -z "$bin" ]; then
		[ -n "${HOME:-}" ] || fail "HOME is not set; give --prefix DIR"
		bin=$HOME/.local/bin
	fi
	case $bin in
	/*) ;;
	*) bin=$(pwd)/$bin ;;
	esac
	page=${bin%/bin}/share/man/man1/$program.1
	"$action"
}

install() {
	source=$(cd "$(dirname "$0")" && pwd)
	[ -f "$source/go.mod" ] || fail "run this script from a checkout of the project"
	command -v go >/dev/null 2>&1 || fail "Go is needed to build (https://go.dev/dl); the version is in go.mod"

	for name in $links; do
		if { [ -e "$bin/$name" ] || [ -L "$bin/$name" ]; } && ! ours "$bin/$name"; then
			fail "$bin/$name exists and is not ours; nothing was changed"
		fi
	done
	mkdir -p "$bin"

	# macOS keeps its keychain behind cgo. Elsewhere a static binary starts faster.
	case $(uname -s) in
	Darwin) cgo=1 ;;
	*) cgo=0 ;;
	esac
	built=$bin/.$program.$$.built
	new=$bin/.$program.$$
	trap 'rm -f "$built" "$new"' EXIT
	(cd "$source" && CGO_ENABLED=$cgo go build -trimpath -ldflags='-s -w' -o "$built" ./cmd/$program)
	cp "$built" "$new" # the linker's own output file starts more slowly until the next reboot
	mv -f "$new" "$bin/$program"
	rm -f "$built"
	trap - EXIT
	for name in $links; do
		ln -sf "$program" "$bin/$name"
	done

	mkdir -p "$(dirname "$page")"
	"$bin/$program" man >"$page"

	echo "installed $("$bin/$program" version) in $bin"
	case :${PATH:-}: in
	*:"$bin":*) ;;
	*)
		echo "put it in the PATH, for example in ~/.profile:"
		echo "  export PATH=\"$bin:\$PATH\""
		;;
	esac
	echo "next: $program demo"
}

uninstall() {
	removed=
	for name in $links; do
		if ours "$bin/$name"; then
			rm -f "$bin/$name"
			removed=yes
		fi
	done
	for name in "$bin/$program" "$page"; do
		if [ -f "$name" ]; then
			rm -f "$name"
			removed=yes
		fi
	done
	if [ -n "$removed" ]; then
		echo "removed $program and its links from $bin"
		echo "sessions stay in the keychain; to remove them, run '$program logout --all' before uninstalling"
	else
		echo "$program is not installed in $bin"
	fi
}

# ours reports whether $1 is a link that this script made.
ours() {
	[ -L "$1" ] && [ "$(readlink "$1")" = "$program" ]
}

fail() {
	echo "install.sh: $1" >&2
	exit 1
}

main "$@"
