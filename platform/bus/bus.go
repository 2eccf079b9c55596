// Package bus is a client of a D-Bus message bus, for a program that reads one secret and ends: calls are collected and go out,
// with the handshake, in one write when an answer is waited for. Only on Linux is there anything in it.
package bus
