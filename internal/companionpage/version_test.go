package companionpage

import (
	"testing"

	companionfiles "clerk-credential-helper/companion"
)

func TestPageVersion(t *testing.T) {
	holes := []closing{{"1.3.0", "a code for another app"}, {"1.0.2", "an open redirect"}}
	ours := companionfiles.Version
	for _, tt := range []struct {
		said     string
		closings []closing
		want     string
	}{
		{ours, nil, "pass      page: version: " + ours},
		{"1.0.9", nil, "pass      page: version: 1.0.9; this program has " + ours + "; companion add --upgrade, and deploy"},
		{"99.0.0", holes, "pass      page: version: 99.0.0, which is newer than this program's " + ours},
		{"", nil, "not told  page: version: it is before 1.1.0; this program has " + ours + "; companion add --upgrade, and deploy"},
		{"", holes, "fail      page: version: it is before 1.1.0; this program has " + ours + "; 1.3.0 closes: a code for another app; 1.0.2 closes: an open redirect; companion add --upgrade, and deploy"},
		{"1.0.2", holes, "fail      page: version: 1.0.2; this program has " + ours + "; 1.3.0 closes: a code for another app; companion add --upgrade, and deploy"},
		{"1.1", nil, `fail      page: version: it is "1.1", which is no version; ` + cureRoutes},
		{"1.x.0", nil, `fail      page: version: it is "1.x.0", which is no version; ` + cureRoutes},
		{"\x1b[2J", nil, `fail      page: version: it is "\x1b[2J", which is no version; ` + cureRoutes},
	} {
		if got := pageVersion(tt.said, tt.closings).String(); got != tt.want {
			t.Errorf("%q:\n%s\nwant\n%s", tt.said, got, tt.want)
		}
	}
	for _, c := range closings {
		if _, ok := parseVersion(c.version); !ok || c.hole == "" {
			t.Errorf("%+v", c)
		}
	}
}
