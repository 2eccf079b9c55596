package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// failureLimit bounds what is kept of an error's words, in bytes.
const failureLimit = 2 << 10

// Failure is the last one of a tool. Our errors hold no secret; what another program said is not kept.
type Failure struct {
	Tool  string    `json:"tool"`
	At    time.Time `json:"at"`
	Host  string    `json:"host,omitempty"`
	Error string    `json:"error"`
	Hint  string    `json:"hint,omitempty"`
}

// Failures keeps why tools got nothing, for users whose tool hid the error: one record for each tool.
type Failures struct{ Kept Records }

// Note keeps the failure of a reply, if it is one. A failure to keep it is ignored.
func (f Failures) Note(tool, host string, reply protocol.Reply, now time.Time) {
	// pip and uv ask for an index's URL first, and what failed then is what the user wants to know.
	var insecure *SchemeError
	if reply.Err == nil || errors.As(reply.Err, &insecure) && insecure.Scheme == "" {
		return
	}
	last := Failure{Tool: tool, At: now.UTC(), Host: clipText(host, 300), Error: clipText(reply.Err.Error(), failureLimit), Hint: clipText(reply.Hint, failureLimit)}
	var foreign *protocol.VerbatimError
	if errors.As(reply.Err, &foreign) {
		last.Error = "docker's fallback helper failed; its words are its own"
	}
	if text, err := json.Marshal(last); err == nil {
		f.Kept.Set(context.Background(), failureName(tool), string(text))
	}
}

// Last returns the last failure of each of the tools that has one, the newest first, with times in whole seconds. One that
// cannot be read is left out.
func (f Failures) Last(ctx context.Context, tools []string) ([]Failure, error) {
	all := []Failure{}
	for _, tool := range tools {
		text, err := f.Kept.Get(ctx, failureName(tool))
		var last Failure
		if errors.Is(err, platform.ErrNotFound) || errors.Is(err, platform.ErrDamaged) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the last failures: %w", err)
		}
		if json.Unmarshal([]byte(text), &last) == nil {
			all = append(all, last)
		}
	}
	slices.SortStableFunc(all, func(a, b Failure) int { return b.At.Compare(a.At) })
	for i := range all {
		all[i].At = all[i].At.Truncate(time.Second)
	}
	return all, nil
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
