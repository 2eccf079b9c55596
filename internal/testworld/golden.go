package testworld

import (
	"flag"
	"os"
	"testing"
)

// Flags must be registered before a test binary's main function.
var update = flag.Bool("update", false, "write the golden files of tests that pass")

// Updating reports whether golden files are to be written.
func Updating() bool { return *update }

// Golden compares the result of a test with a file. With -update it writes the file instead, at the end of the test and only
// if the test has not failed.
func Golden(t testing.TB, file, got string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err == nil && string(want) == got {
		return
	}
	if !*update {
		t.Errorf("%v: %s has changed; -update accepts it:\n%s\nnot\n%s", err, file, got, want)
		return
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s is left as it was, since the test has failed", file)
		} else if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Error(err)
		}
	})
}
