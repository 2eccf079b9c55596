package testworld

import (
	"flag"
	"os"
	"testing"
)

// A test binary knows the flags that are registered before its main function.
var update = flag.Bool("update", false, "write the golden files of tests that pass")

// Updating reports whether golden files are to be written.
func Updating() bool { return *update }

// Golden compares what a test has got with a file. With -update it writes the file instead, at the end of the test, and
// only if the test has not failed: what a broken program printed is no standard.
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
