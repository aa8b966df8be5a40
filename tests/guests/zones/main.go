// Command zones prints a moment in the local time zone and in others that the program has with it. The test sets TZ.
package main

import (
	"fmt"
	"time"
	_ "time/tzdata"
)

func main() {
	moment := time.Unix(1_750_000_000, 0)
	fmt.Println("local:", moment.Format(time.RFC3339))
	for _, name := range []string{"UTC", "Europe/Oslo", "America/New_York", "Asia/Kolkata", "Nowhere/Land"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(name+":", moment.In(zone).Format(time.RFC3339))
	}
}
