package platform

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/windows"
)

// TestPatience: what is in use is tried again for 2 s, and longer where a try takes long; what fails otherwise is not.
func TestPatience(t *testing.T) {
	for _, row := range []struct {
		reason   string
		err      error
		takes    time.Duration // one try
		freeAt   int           // the try that works; 0 for none
		gone     bool
		min, max time.Duration
	}{
		{"free at once", nil, 0, 1, true, 0, 0},
		{"in use for a moment", windows.ERROR_SHARING_VIOLATION, 0, 50, true, 0, time.Second},
		{"in use for good", windows.ERROR_ACCESS_DENIED, 0, 0, false, 2 * time.Second, 2100 * time.Millisecond},
		{"a loaded machine", windows.ERROR_ACCESS_DENIED, 100 * time.Millisecond, 60, true, 6 * time.Second, 7 * time.Second},
		{"a loaded machine, in use for good", windows.ERROR_ACCESS_DENIED, 100 * time.Millisecond, 0, false, 10 * time.Second, 11 * time.Second},
		{"it stands nearly still", windows.ERROR_ACCESS_DENIED, time.Second, 0, false, 20 * time.Second, 22 * time.Second},
		{"another failure", windows.ERROR_FILE_NOT_FOUND, 0, 2, false, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun, tries := time.Now(), 0
			err := patiently(func() error {
				time.Sleep(row.takes)
				if tries++; tries == row.freeAt {
					return nil
				}
				return row.err
			})
			if took := time.Since(begun); (err == nil) != row.gone || !row.gone && !errors.Is(err, row.err) || took < row.min || took > row.max {
				t.Errorf("%s: %v after %d tries and %v", row.reason, err, tries, took)
			}
		})
	}
}
