package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// chromium is a headless one that is led through its pipe (the DevTools protocol, --remote-debugging-pipe): JSON
// messages with NUL after each, to its descriptor 3 and from its descriptor 4.
type chromium struct {
	*testing.T
	to      *os.File
	from    *bufio.Reader
	session string
	last    int
}

func startChromium(t *testing.T) *chromium {
	t.Helper()
	testworld.Long(t, "starts chromium")
	testworld.Need(t, "chromium")
	reads, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, writes, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+t.TempDir(), "--window-size=900,700", "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{reads, writes}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reads.Close()
	writes.Close()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		to.Close()
		from.Close()
	})
	timer := time.AfterFunc(5*time.Minute, func() { from.Close() })
	t.Cleanup(func() { timer.Stop() })
	return &chromium{T: t, to: to, from: bufio.NewReader(from)}
}

// call asks for one thing and waits for its answer.
func (c *chromium) call(method string, params map[string]any, into any) {
	c.Helper()
	if err := c.ask(method, params, into); err != nil {
		c.Fatalf("%s: %v", method, err)
	}
}

// ask passes events over. Its error is chromium's.
func (c *chromium) ask(method string, params map[string]any, into any) error {
	c.Helper()
	c.last++
	message := map[string]any{"id": c.last, "method": method, "params": params}
	if c.session != "" {
		message["sessionId"] = c.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		c.Fatal(err)
	}
	if _, err := c.to.Write(append(text, 0)); err != nil {
		c.Fatal(err)
	}
	for {
		text, err := c.from.ReadBytes(0)
		if err != nil {
			c.Fatalf("%s: chromium says nothing: %v", method, err)
		}
		var answer struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  json.RawMessage `json:"error"`
		}
		if err := json.Unmarshal(text[:len(text)-1], &answer); err != nil {
			c.Fatal(err)
		}
		switch {
		case answer.ID != c.last:
			continue
		case answer.Error != nil:
			return fmt.Errorf("%s", answer.Error)
		case into == nil:
			return nil
		}
		return json.Unmarshal(answer.Result, into)
	}
}

func (c *chromium) open(url string) {
	c.Helper()
	var target struct{ TargetID string }
	c.call("Target.createTarget", map[string]any{"url": url}, &target)
	var attached struct{ SessionID string }
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
}

// eval gives the value of an expression on the page, nil between two pages.
func (c *chromium) eval(expression string) any {
	c.Helper()
	var got struct{ Result struct{ Value any } }
	if c.ask("Runtime.evaluate", map[string]any{"expression": expression}, &got) != nil {
		return nil
	}
	return got.Result.Value
}

// await waits until an expression is true, and takes a picture.
func (c *chromium) await(name, expression string) {
	c.Helper()
	for end := time.Now().Add(2 * time.Minute); c.eval(`document.readyState === "complete" && (`+expression+`)`) != true; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.Fatalf("%s does not come; the page is %v: %v", name, c.eval("location.href"), c.eval("document.body && document.body.innerText"))
		}
	}
	var picture struct{ Data string }
	c.call("Page.captureScreenshot", nil, &picture)
	png, err := base64.StdEncoding.DecodeString(picture.Data)
	if err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		c.Fatal(err)
	}
}

// TestChromium: a real browser signs in through Clerk's pages and ends on /done; neither the address bar nor the history
// holds a code.
func TestChromium(t *testing.T) {
	for _, row := range []struct {
		decision, words string
		status          int
	}{
		{"allow", "You are signed in", exitOK},
		{"deny", "Sign-in declined", exitFailed},
	} {
		t.Run(row.decision, func(t *testing.T) {
			browser := startChromium(t)
			clerk := sandbox.New(sandbox.Options{})
			server := httptest.NewServer(clerk)
			t.Cleanup(server.Close)
			clerk.SetIssuer(server.URL)
			dir := t.TempDir()
			pipe, launcher, config := filepath.Join(dir, "pipe"), filepath.Join(dir, "browser"), filepath.Join(dir, "config.toml")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				launcher: "#!/bin/sh\necho \"$1\" >\"" + pipe + "\"\n",
				config:   fmt.Sprintf("[profiles.acme]\nissuer = %q\nclient_id = \"sandbox-client\"\nhosts = [\"git.acme.dev\"]\n", server.URL),
			} {
				if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			program, err := exec.LookPath("clerk-credential-helper")
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, "login", "--timeout", "5m")
			cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "CLERK_HELPER_CONFIG=" + config,
				"CLERK_HELPER_STORE=file", "BROWSER=" + launcher}
			var words strings.Builder
			cmd.Stderr = &words
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill() })
			start, err := os.ReadFile(pipe)
			if err != nil {
				t.Fatal(err)
			}

			browser.open(strings.TrimSpace(string(start)))
			browser.await("sign-in", `document.querySelector("#email") !== null`)
			browser.eval(`document.querySelector("#email").value = "ada@acme.dev"; document.querySelector("button.main").click()`)
			browser.await("consent", `document.querySelector("[value=allow]") !== null`)
			browser.eval(`document.querySelector("[value=` + row.decision + `]").click()`)
			browser.await("done", `document.body !== null && document.body.innerText.includes("`+row.words+`")`)

			listener, _, _ := strings.Cut(strings.TrimSpace(string(start)), "/start/")
			if got := browser.eval("location.href"); got != listener+"/done" {
				t.Errorf("the address bar holds %v", got)
			}
			var history struct{ Entries []struct{ URL string } }
			browser.call("Page.getNavigationHistory", nil, &history)
			for _, entry := range history.Entries {
				if strings.Contains(entry.URL, "code=") || strings.Contains(entry.URL, "/callback") {
					t.Errorf("the history holds %s", entry.URL)
				}
			}
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != row.status {
				t.Errorf("login: %v\n%s", err, words.String())
			}
		})
	}
}
