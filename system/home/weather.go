package home

import "math"

const (
	daySeconds  = 24 * 3600
	yearSeconds = 365.25 * daySeconds
)

// weather is what is outside.
type weather struct {
	front drift // how much warmer than usual, in units of 3 degrees
	cloud drift // below 0 the sky is rather clear

	temperature float64 // °C
	humidity    float64 // %
	sun         float64 // 0 to 1, of the roof's best
}

func newWeather(r *random) weather {
	return weather{front: newDrift(2*daySeconds, r), cloud: newDrift(2*3600, r)}
}

// hourOf is the hour of the day, in [0, 24), at a second of the house's clock.
func hourOf(second int64) float64 {
	return float64(((second%daySeconds)+daySeconds)%daySeconds) / 3600
}

// seasonOf is 1 at midsummer and -1 at midwinter.
func seasonOf(second int64) float64 {
	year := float64(second)/yearSeconds - 0.22 // the equinox of March
	return math.Sin(2 * math.Pi * year)
}

func (w *weather) step(second int64, r *random) {
	w.front.step(r)
	w.cloud.step(r)
	hour, season := hourOf(second), seasonOf(second)
	daily := math.Cos(2 * math.Pi * (hour - 15) / 24) // warmest in the afternoon
	w.temperature = 10 + 9*season + 4*daily + 3*w.front.value
	clouds := 1 / (1 + math.Exp(-2*w.cloud.value)) // 0 = clear, 1 = overcast
	w.sun = clearSky(hour, season) * (1 - 0.85*clouds)
	w.humidity = bound(72-12*daily+15*(clouds-0.5), 25, 100)
}

// clearSky is what the roof would yield without clouds: nothing at night, most at noon in summer.
func clearSky(hour, season float64) float64 {
	length := 12 + 4*season
	height := math.Sin(math.Pi * (hour - (12.5 - length/2)) / length)
	if hour < 12.5-length/2 || hour > 12.5+length/2 || height <= 0 {
		return 0
	}
	return math.Pow(height, 1.3) * (0.65 + 0.35*season)
}

func bound(v, low, high float64) float64 { return min(max(v, low), high) }
