package companionpage

import (
	"fmt"
	"slices"
	"strings"

	companionfiles "clerk-credential-helper/companion"
)

// closing is a hole that a version of the page has closed. A page of an earlier version has it.
type closing struct{ version, hole string }

// closings are all of them, the latest first. There is none so far.
var closings []closing

// pageVersion tells which version of the files a deployed page has, and what later ones have closed. said is what its
// metadata says: 1.0.0 says nothing.
func pageVersion(said string, closings []closing) Line {
	const upgrade = "companion add --upgrade, and deploy"
	line := Line{State: Pass, Check: "page: version", Seen: said}
	at, known := parseVersion(said)
	ours, _ := parseVersion(companionfiles.Version)
	switch {
	case said == "":
		line.State, line.Seen, line.Cure = NotTold, "it is before 1.1.0; this program has "+companionfiles.Version, upgrade
		at, _ = parseVersion(unstampedVersion)
	case !known || at.String() != said:
		return Line{Fail, line.Check, fmt.Sprintf("it is %.40q, which is no version", said), cureRoutes}
	case slices.Compare(at[:], ours[:]) < 0:
		line.Seen, line.Cure = said+"; this program has "+companionfiles.Version, upgrade
	case slices.Compare(at[:], ours[:]) > 0:
		line.Seen = said + ", which is newer than this program's " + companionfiles.Version
	}
	var open []string
	for _, c := range closings {
		if since, _ := parseVersion(c.version); slices.Compare(at[:], since[:]) < 0 {
			open = append(open, fmt.Sprintf("%s closes: %s", c.version, c.hole))
		}
	}
	if open != nil {
		line.State, line.Seen, line.Cure = Fail, strings.Join(append([]string{line.Seen}, open...), "; "), upgrade
	}
	return line
}
