// Package timeline draws a run of the simulator as one HTML file that needs nothing else: no network, no framework, no
// other file. The page's parts (page.html, style.css and the scripts) are embedded as they are written.
//
//	sim.Recorder ──> Write ──> page.html + style.css + *.js + the events as JSON
//
//	model.js   what the events amount to: messages, bands, holds, beliefs, waits, calls
//	layout.js  which row lies where
//	view.js    what part of it is seen: time, scroll, filters, selection; and its link
//	draw.js    the canvas
//	panel.js   details, causes and consequences, search
//	main.js    pointer, wheel, keyboard, and the start
package timeline
