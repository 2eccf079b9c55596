package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/console"
	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// failureLimit bounds what is kept of an error's words, in bytes.
const failureLimit = 2 << 10

// failure is the last one of a tool. Our errors hold no secret; what another program said is not kept.
type failure struct {
	Tool  string    `json:"tool"`
	At    time.Time `json:"at"`
	Host  string    `json:"host,omitempty"`
	Error string    `json:"error"`
	Hint  string    `json:"hint,omitempty"`
}

// failures are kept as records are: one small file for each tool, 0600, in a folder of this user's.
func failures(getenv func(string) string) (*platform.Keychain, error) {
	folder, err := platform.StateDir(getenv)
	if err != nil {
		return nil, fmt.Errorf("finding the state folder: %w", err)
	}
	return platform.OpenKeychain("file", filepath.Join(folder, "failures"))
}

// remember stores why a tool got nothing, for users whose tool hid the error. Failure to save it is ignored.
func remember(getenv func(string) string, tool, host string, reply protocol.Reply) {
	// pip and uv ask for an index's URL first, and what failed then is what the user wants to know.
	var insecure *broker.SchemeError
	if reply.Err == nil || errors.As(reply.Err, &insecure) && insecure.Scheme == "" {
		return
	}
	f := failure{Tool: tool, At: console.Seconds(time.Now()), Host: clipText(host, 300), Error: clipText(reply.Err.Error(), failureLimit), Hint: clipText(reply.Hint, failureLimit)}
	var foreign *protocol.VerbatimError
	if errors.As(reply.Err, &foreign) {
		f.Error = "docker's fallback helper failed; its words are its own"
	}
	text, err := json.Marshal(f)
	if err != nil {
		return
	}
	if kept, err := failures(getenv); err == nil {
		kept.Set(context.Background(), failureName(tool), string(text))
	}
}

// failureName makes an item's name of what a tool is called in messages.
func failureName(tool string) string {
	return strings.Map(func(r rune) rune {
		if r < 'a' || r > 'z' {
			return '-'
		}
		return r
	}, strings.ToLower(tool))
}

func clipText(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

type lastErrorCommand struct {
	JSON bool `help:"Print JSON."`
}

// Run shows the last failure of each tool, the newest first.
func (c lastErrorCommand) Run(ctx context.Context, sys *system) error {
	kept, err := failures(sys.getenv)
	if err != nil {
		return err
	}
	names := []string{"a script"}
	for _, t := range tools() {
		names = append(names, t.who)
	}
	all := []failure{}
	for _, name := range names {
		text, err := kept.Get(ctx, failureName(name))
		var f failure
		if errors.Is(err, platform.ErrNotFound) || errors.Is(err, platform.ErrDamaged) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the last failures: %w", err)
		}
		if json.Unmarshal([]byte(text), &f) == nil {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b failure) int { return b.At.Compare(a.At) })
	if c.JSON {
		return sys.console().JSON(lastErrorReport{all})
	}
	if len(all) == 0 {
		fmt.Fprintln(sys.stdout, "no tool has failed")
	}
	for _, f := range all {
		fmt.Fprintf(sys.stdout, "%s, %s\n", protocol.Escape(f.Tool), f.At.Local().Format(time.DateTime))
		if f.Host != "" {
			console.Fact(sys.stdout, "host", f.Host)
		}
		console.Fact(sys.stdout, "error", f.Error)
		if f.Hint != "" {
			console.Fact(sys.stdout, "hint", f.Hint)
		}
	}
	return nil
}
