// Package companionpage adds the companion page to a web app, brings it up to date, and checks one that is deployed.
//
// To add or upgrade, the folder of a Next.js app comes in, and the page's files and the steps left to do by hand go out;
// what was edited in the app is never overwritten unasked. To check, the origin of an app comes in, and a [Line] for each
// property goes out: whether it holds, what was seen instead, and the remedy. A check makes the requests that an attacker
// or the helper would make. It stores no session, and no line contains a code or a token.
package companionpage
