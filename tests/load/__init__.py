"""Many clients on a real engine at once: is each served right, soon, and in steady memory?"""
