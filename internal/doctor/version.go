package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
)

// Build is what this program is, for those who are asked for help. "version --json" prints one.
type Build struct {
	Version  string `json:"version"`            // without a "v"; "devel" if it is not known
	Commit   string `json:"commit,omitempty"`   // in full
	Date     string `json:"date,omitempty"`     // of the commit (RFC 3339)
	Modified bool   `json:"modified,omitempty"` // the checkout had changes that were not committed
	Platform string `json:"platform"`           // such as linux/amd64
	Go       string `json:"go"`                 // version of the compiler
	// Installed is what installed it, as installer says, or "unknown".
	Installed string `json:"installed"`
	Path      string `json:"path,omitempty"` // of the program
	// Latest is the latest release, and Update reports whether it is newer than this program. Set by Check.
	Latest string `json:"latest,omitempty"`
	Update *bool  `json:"update,omitempty"`
}

// ReadBuild completes what the linker was given, all of which may be empty, by what the go command has recorded in the
// program. path is that of the program, and may be empty.
func ReadBuild(version, commit, date, path string) Build {
	b := Build{Version: version, Commit: commit, Date: date, Platform: platform.System(), Go: runtime.Version(), Path: path,
		Installed: cmp.Or(installer(path), "unknown")}
	if info, ok := debug.ReadBuildInfo(); ok {
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if version == "" { // else the sources may lie in another project's checkout
			b.Commit = cmp.Or(commit, settings["vcs.revision"])
			b.Date = cmp.Or(date, settings["vcs.time"])
			b.Modified = settings["vcs.modified"] == "true"
		}
		if info.Main.Version != "(devel)" {
			b.Version = cmp.Or(version, info.Main.Version)
		}
	}
	b.Version = strings.TrimPrefix(cmp.Or(b.Version, "devel"), "v")
	return b
}

// String describes the build in lines of text, without the end of the last one.
func (b Build) String() string {
	words := "clerk-credential-helper " + b.Version
	var of []string
	if b.Commit != "" {
		of = append(of, b.Commit[:min(len(b.Commit), 12)])
	}
	if b.Date != "" {
		of = append(of, b.Date[:min(len(b.Date), len("2026-11-28"))])
	}
	if b.Modified {
		of = append(of, "with changes")
	}
	if of != nil {
		words += " (" + strings.Join(of, ", ") + ")"
	}
	words += " " + b.Platform + " " + b.Go
	if b.Installed == "unknown" {
		words += "\nbuilt or unpacked by hand"
	} else {
		words += "\ninstalled by " + b.Installed
	}
	if b.Path != "" {
		words += ": " + console.Escape(b.Path)
	}
	switch {
	case b.Update == nil:
	case *b.Update:
		words += "\n" + b.Latest + " is newer; to upgrade: " + upgrade(b.Installed)
	default:
		words += "\nthe latest release is " + b.Latest
	}
	return words
}

// upgrade returns how to get the latest release.
func upgrade(installed string) string {
	command := map[string]string{
		"npm": "npm install --global " + programName + "@latest", "homebrew": "brew upgrade " + programName, "scoop": "scoop update " + programName, "winget": "winget upgrade " + programName,
		"apk": "apk upgrade " + programName, "nix": "nix profile upgrade " + programName,
		"install.sh": "run install.sh again, with --version latest", "install.ps1": "run install.ps1 again",
	}[installed]
	return cmp.Or(command, "install it as you did this one")
}

// ErrNoReleases means that no place of releases is configured.
var ErrNoReleases = errors.New("CLERK_HELPER_RELEASES is not set: no place of releases is configured")

// maxChecksums, in bytes, limits the list of a release's files.
const maxChecksums = 64 << 10

// Check asks the place of releases for the latest one, for at most Limit, and sets Latest and Update. The place is an
// https address, or an http one on loopback, with the layout of GitHub's releases: PLACE/latest/download/checksums.txt lists
// the latest one's files. Nothing else of this program looks for releases.
//
// The error is ErrNoReleases if place is empty.
func (b *Build) Check(ctx context.Context, place, userAgent string) error {
	if place == "" {
		return ErrNoReleases
	}
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	latest, err := latestRelease(ctx, place, userAgent)
	if err != nil {
		return fmt.Errorf("looking for the latest release: %w", err)
	}
	newer := compareVersions(latest, b.Version) > 0
	b.Latest, b.Update = latest, &newer
	return nil
}

func latestRelease(ctx context.Context, place, userAgent string) (string, error) {
	address, err := url.Parse(place)
	if err != nil || !secure(address) || address.User != nil || address.RawQuery != "" {
		return "", errors.New("CLERK_HELPER_RELEASES is not an https address without a user or a query")
	}
	address = address.JoinPath("latest", "download", "checksums.txt")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("User-Agent", userAgent)
	client := http.Client{CheckRedirect: func(to *http.Request, before []*http.Request) error {
		if len(before) > 5 || !secure(to.URL) {
			return errors.New("it redirects too often, or to plain http")
		}
		return nil
	}}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: status %d", address, response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxChecksums))
	if err != nil {
		return "", err
	}
	archive := regexp.MustCompile(`(?m)^[0-9a-f]{64} [ *]clerk-credential-helper_([0-9A-Za-z.+-]{1,64})_[a-z0-9]+_[a-z0-9]+\.(?:tar\.gz|zip)\r?$`)
	found := archive.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s names no archive of a release", address)
	}
	return string(found[1]), nil
}

// secure reports whether an address is https, or http to this machine.
func secure(address *url.URL) bool {
	ip := net.ParseIP(address.Hostname())
	return address.Host != "" && (address.Scheme == "https" || address.Scheme == "http" && (ip.IsLoopback() || address.Hostname() == "localhost"))
}

// compareVersions returns -1, 0 or 1 by the precedence of two versions (semver.org, 11). One that is no version, such as
// "devel", is below all others.
func compareVersions(a, b string) int {
	form := regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$`)
	of, other := form.FindStringSubmatch(a), form.FindStringSubmatch(b)
	if of == nil || other == nil {
		return cmp.Compare(len(of), len(other))
	}
	for i := 1; i <= 3; i++ {
		if c := compareIdentifiers(of[i], other[i]); c != 0 {
			return c
		}
	}
	switch before, otherBefore := of[4], other[4]; {
	case before == otherBefore:
		return 0
	case before == "":
		return 1
	case otherBefore == "":
		return -1
	default:
		x, y := strings.Split(before, "."), strings.Split(otherBefore, ".")
		for i := range min(len(x), len(y)) {
			if c := compareIdentifiers(x[i], y[i]); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(x), len(y))
	}
}

// compareIdentifiers compares two parts of versions: numbers by value, and below what is none.
func compareIdentifiers(a, b string) int {
	n, notA := strconv.ParseUint(a, 10, 64)
	m, notB := strconv.ParseUint(b, 10, 64)
	switch {
	case notA == nil && notB == nil:
		return cmp.Compare(n, m)
	case notA == nil:
		return -1
	case notB == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
