package companionpage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"slices"

	companionfiles "clerk-credential-helper/companion"
)

// A stamp is the first line of a copied file. It names the version of the page, and the text that was shipped by the
// first 32 digits of its SHA-256: without this line, with LF as line end, without a byte order mark. So git may change
// line ends, and any other change counts as an edit, a formatter's too. Biome's formatter reads in it that it should
// leave the file alone.
const (
	stampBefore  = "biome-ignore-all format: clerk-credential-helper companion "
	stampBetween = " sha256:"
	hashDigits   = 32
)

// stamped returns the text of a file with its stamp.
func stamped(name string, text []byte) []byte {
	line := stampBefore + companionfiles.Version + stampBetween + hash(text)
	if path.Ext(name) == ".css" {
		line = "/* " + line + " */"
	} else {
		line = "// " + line
	}
	return append([]byte(line+"\n"), text...)
}

// hash returns the hash of a text that a stamp has.
func hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:hashDigits]
}

// copied is a file in an app, taken apart.
type copied struct {
	text    []byte // without the stamp, with LF as line end
	version string // which was copied; "" if that is not known
	hash    string // of what was copied; "" if that is not known
	stamped bool
}

// readCopied takes the text of the file apart that was copied as name, a path with slashes below the app's root.
func readCopied(name string, there []byte) copied {
	c := copied{text: bytes.ReplaceAll(bytes.TrimPrefix(there, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))}
	// An import sorter may have moved the line, and a tool may have changed what is around it.
	stamp := regexp.MustCompile(`(?m)^.*clerk-credential-helper companion (\d+\.\d+\.\d+) sha256:([0-9a-f]{32})\b.*\n?`)
	if at := stamp.FindSubmatchIndex(c.text); at != nil {
		c.stamped, c.version, c.hash = true, string(c.text[at[2]:at[3]]), string(c.text[at[4]:at[5]])
		c.text = slices.Concat(c.text[:at[0]], c.text[at[1]:])
		return c
	}
	if text := companionfiles.Shipped(unstampedVersion, name); text != nil {
		c.version, c.hash = unstampedVersion, hash(text)
	}
	return c
}

// unstampedVersion is the one version that put no stamp into what it wrote.
const unstampedVersion = "1.0.0"

// untouched reports whether the file is as it was copied.
func (c copied) untouched() bool { return hash(c.text) == c.hash }

// newer reports whether the file is of a version after this program's.
func (c copied) newer() bool {
	theirs, _ := parseVersion(c.version)
	ours, _ := parseVersion(companionfiles.Version)
	return slices.Compare(theirs[:], ours[:]) > 0
}
