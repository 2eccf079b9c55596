package console

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// Tracer returns what writes decisions, one a line, escaped: to Err if to is "1", else to the end of the file with that absolute
// path. It is nil if to is empty or "0". What is wrong with the file is a message on Err, and nil. A relative name, such as
// "true", would make or change a file in the folder where a tool runs.
func (c *Console) Tracer(to string) func(format string, args ...any) {
	var w io.Writer
	switch to {
	case "", "0":
		return nil
	case "1":
		w = c.Err
	default:
		if !filepath.IsAbs(to) {
			protocol.WriteMessage(c.Err, fmt.Errorf("CLERK_HELPER_TRACE is %q: write 1, 0 or the absolute path of a file", to), "")
			return nil
		}
		f, err := platform.AppendFile(to)
		if err != nil {
			protocol.WriteMessage(c.Err, fmt.Errorf("opening the trace: %w", err), "")
			return nil
		}
		w = wholeLines{f} // ends with the process
	}
	return func(format string, args ...any) {
		line := protocol.Escape(fmt.Sprintf(format, args...))
		fmt.Fprintf(w, "%s clerk-credential-helper[%d] %s\n", time.Now().UTC().Format("15:04:05.000"), os.Getpid(), line)
	}
}

// wholeLines are the trace's, which many processes write at once.
type wholeLines struct{ file *os.File }

func (w wholeLines) Write(line []byte) (int, error) {
	return len(line), platform.AppendWhole(w.file, line)
}
