package main

import (
	"slices"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/console"

	"github.com/alecthomas/kong"
)

// The documents that --json prints; docs/json.md is for those who read them, and docs/schemas has the schema of each.

// wantsJSON reports whether the command line asks for a document.
func wantsJSON(parsed *kong.Context) bool {
	return slices.ContainsFunc(parsed.Flags(), func(f *kong.Flag) bool {
		value := parsed.FlagValue(f)
		return f.Name == "json" && value == true || f.Name == "format" && value == "json"
	})
}

// logoutReport is the document of logout --all. It failed if a session is still here.
type logoutReport struct {
	State    string      `json:"state"`
	Profiles []signedOut `json:"profiles"`
}

func newLogoutReport(all []signedOut) logoutReport {
	r := logoutReport{console.StateOK, all}
	for i := range all {
		switch all[i].Accepted = console.Seconds(all[i].Accepted); {
		case all[i].Outcome == "failed":
			r.State = console.StateFailed
		case all[i].Outcome == "unknown" && r.State == console.StateOK:
			r.State = console.StateWarning
		}
	}
	return r
}

// historyReport is the document of history, the oldest first.
type historyReport struct {
	Kept    bool           `json:"kept"`
	Entries []broker.Entry `json:"entries"`
}

// lastErrorReport is the document of last-error, the newest first.
type lastErrorReport struct {
	Errors []broker.Failure `json:"errors"`
}
