package main

import (
	"clerk-credential-helper/internal/doctor"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/console"
)

// TestStatusClock: a sign-in that failed because of a wrong clock was not refused.
func TestStatusClock(t *testing.T) {
	w, _ := wellSetUp(t)
	w.Clerk.Advance(time.Hour) // its tokens are of the future
	if status, _, words := runHere("token"); status == exitOK || !strings.Contains(words, "clock") {
		t.Fatalf("status %d\n%s", status, words)
	}
	for _, command := range [][]string{{"status"}, {"explain", "git.acme.dev"}, {"doctor"}} {
		_, out, words := runHere(command...)
		text := strings.Join(strings.Fields(out), " ")
		if strings.Contains(text, "was refused") || !strings.Contains(text, "came to nothing (") || !strings.Contains(text, "at a terminal tools ask again at once, others after ") {
			t.Errorf("%v\n%s%s", command, out, words)
		}
	}
	var report doctor.StatusReport
	_, out, _ := runHere("status", "--json")
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Profiles) != 1 || report.State != console.StateWarning {
		t.Fatal(err, out)
	}
	all := report.Profiles
	if all[0].LastSignIn == "" || strings.Contains(all[0].LastSignIn, "refused") || !all[0].AskedAgain.After(time.Now()) {
		t.Errorf("%+v", all[0])
	}
}
