"""NativeAuthenticator 1.3 logs in with what JupyterHub 6 no longer has (statsd): here JupyterHub's own way does it."""

from jupyterhub.handlers.login import LoginHandler
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator import handlers as native


class Login(native.LoginHandler):
    """Its page, with its link to sign up; JupyterHub's own log-in behind it."""

    post = LoginHandler.post

    def _render(self, login_error=None, username=None, **_):
        return super()._render(login_error, username)


class Authenticator(NativeAuthenticator):
    """Learners sign up and choose a password; an admin lets them in."""

    def get_handlers(self, app):
        """As it has them, but for the log-in."""
        changed = {native.LoginHandler: Login}
        return [(path, changed.get(handler, handler), *more) for path, handler, *more in super().get_handlers(app)]
