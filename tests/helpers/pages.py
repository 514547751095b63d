"""What is on a report's page in the browser."""


def colours(page, plot: str = "map") -> list[str]:
    return page.evaluate(f"Array.from(document.querySelector('#{plot}').data[0].marker.color)")


def where(page, spot: int, plot: str = "map") -> tuple[float, float]:
    """Where a spot is on the screen."""
    page.locator(f"#{plot}").scroll_into_view_if_needed()
    x, y = page.evaluate(
        f"""(() => {{ const plot = document.querySelector('#{plot}'), box = plot.getBoundingClientRect();
        const {{ xaxis, yaxis }} = plot._fullLayout, {{ x, y }} = plot.data[0];
        return [box.x + xaxis._offset + xaxis.d2p(x[{spot}]), box.y + yaxis._offset + yaxis.d2p(y[{spot}])]; }})()"""
    )
    return x, y
