print("wallclock")
