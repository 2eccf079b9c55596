package platform

import (
	"os"
	"os/exec"
	"testing"
)

// TestMain lets the test binary play other processes: with PLATFORM_TEST_AS=ROLE in its environment it plays that role
// instead of running the tests.
func TestMain(m *testing.M) {
	if role := os.Getenv("PLATFORM_TEST_AS"); role != "" {
		play, ok := map[string]func() error{
			"lock holder":   playLockHolder,
			"lock counter":  playLockCounter,
			"on terminal":   playOnTerminal,
			"reading":       playReading,
			"reading again": playReadingAgain,
		}[role]
		if !ok {
			panic("unknown role " + role)
		}
		if err := play(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// self returns a command that runs this test binary in a role.
func self(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(append(os.Environ(), env...), "PLATFORM_TEST_AS="+role)
	return cmd
}
