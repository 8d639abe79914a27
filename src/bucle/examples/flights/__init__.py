"""Flights: will this flight arrive more than 15 minutes late? 336,776 departures from New York in 2013."""
