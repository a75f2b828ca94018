// Package home generates what the sensors of a sustainable home say: twenty devices that measure climate,
// doors, appliances, the grid, a solar roof and a battery.
//
//	h := home.New(home.Config{Seed: 1, Start: houseTime})
//	h.Until(now, func(r home.Reading) { queue.Put(r.Key, r.Value) })
//
// Behind the sensors is one house that is simulated second by second, so that what they say belongs
// together: the sun rises with the season and clouds pass, a heat pump works against the cold, people boil
// water in the morning and cook in the evening, doors open in bursts when they leave and come home, a
// shower makes the bathroom damp, and the grid carries what sun and battery do not. At every second
//
//	grid = load - solar + battery       (in watts; the battery's is positive while it charges)
//
// Meters report every few seconds, climate once a minute, doors when they move and once an hour. That is
// about two readings a second with bursts of ten.
//
// The package is pure: the seed decides everything, time is handed in, and the cadence of calls changes
// nothing. It is a scenario and no building physics: temperatures follow targets, and the constants are
// chosen to look like a house and not to be one. It sends nothing; devices do.
package home
