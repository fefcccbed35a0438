"""Feet on the floor: hip path and leg angles of a whole trial by sparse least squares.

Joint angles alone make the feet slide; so the whole trial is solved at once (Gauss-Newton) for hip path and leg angles
in the sagittal plane that stay close to those wanted while every foot in contact rests on the floor and does not move.
"""

import numpy as np
from scipy.sparse import csr_matrix, identity
from scipy.sparse.linalg import spsolve

HEEL_CONTACT = (0.0, 0.40)  # phase of the cycle during which the heel rests on the floor
BALL_CONTACT = (0.09, 0.62)  # and the ball of the foot; its end is toe-off
# What one unit of residual is: the trade between following the curves and respecting the floor.
_SD_ANGLE = np.radians([2.5, 3.0, 3.0])  # thigh, knee, ankle off their curves
_SMOOTH = 8.0  # weight of an angle's second difference at 25 Hz beside that of its deviation
_SD_PATH_M = 0.004  # change of the hips' velocity over a frame at 25 Hz
_SD_CONTACT_M = 0.00005  # height of a resting point, and its slip over a frame
_SD_CLEARANCE_M = 0.004  # depth of a swinging point below its clearance
_CLEARANCE_M = {"heel": 0.004, "toe": 0.010}


class Legs:
    """Positions of foot points in the sagittal plane, and their derivatives, for the states of a whole trial.

    A state holds, each frame: hips forward and up (m), then thigh, knee and ankle angles (rad) of the left and the
    right leg.
    """

    def __init__(self, figure, style, pelvis):
        """Legs of a figure whose pelvis moves so."""
        sign = np.array([1, -1])
        turn, drop = pelvis["rotation"][:, None], pelvis["obliquity"][:, None]
        self.hip_up = figure.half_hip_m * sign * np.sin(drop)
        self.hip_forward = figure.half_hip_m * sign * np.cos(drop) * np.sin(turn)
        # Legs slant outwards or inwards between hips and feet: their length in the plane is shorter.
        hip_side = pelvis["sway"][:, None] + figure.half_hip_m * sign * np.cos(drop) * np.cos(turn)
        slant = (hip_side - sign * style.step_width / 2) / figure.leg_length_m
        self.thigh, self.shank = (length * np.sqrt(1 - slant**2) for length in (figure.thigh_m, figure.shank_m))
        self.along = np.cos(np.radians(style.toe_out))  # share of the foot's length that lies along the walk

    def segments(self, state, side):
        """Angle of thigh, shank and foot to the vertical or the floor, rad."""
        thigh, knee, ankle = state[:, 2 + 3 * side : 5 + 3 * side].T
        return thigh, thigh - knee, thigh - knee + ankle

    def point(self, state, side, offset):
        """Height and forward place of a point of the foot, with the derivatives by (hips, thigh, knee, ankle)."""
        up, forward = offset
        thigh, shank, foot = self.segments(state, side)
        ones = np.ones(len(state))
        dy_thigh, dz_thigh = self.thigh[:, side] * np.sin(thigh), self.thigh[:, side] * np.cos(thigh)
        dy_shank, dz_shank = self.shank[:, side] * np.sin(shank), self.shank[:, side] * np.cos(shank)
        dy_foot = np.cos(foot) * forward - np.sin(foot) * up
        dz_foot = -self.along * (np.sin(foot) * forward + np.cos(foot) * up)
        y = state[:, 1] + self.hip_up[:, side] - dz_thigh - dz_shank - dz_foot / self.along
        z = state[:, 0] + self.hip_forward[:, side] + dy_thigh + dy_shank + self.along * dy_foot
        first = 2 + 3 * side
        height = [(1, ones), (first, dy_thigh + dy_shank + dy_foot), (first + 1, -dy_shank - dy_foot)]
        ahead = [(0, ones), (first, dz_thigh + dz_shank + dz_foot), (first + 1, -dz_shank - dz_foot)]
        return y, z, [*height, (first + 2, dy_foot)], [*ahead, (first + 2, dz_foot)]


class _Residuals:
    """Rows of a sparse least-squares problem, gathered block by block."""

    def __init__(self, n_states):
        self.n_states, self.n_rows = n_states, 0
        self.values, self.rows, self.columns, self.entries = [], [], [], []

    def add(self, values, terms):
        """Residuals (m,) and their derivatives: pairs of (frames (m,), state variable, derivative (m,))."""
        rows = self.n_rows + np.arange(len(values))
        self.n_rows += len(values)
        self.values.append(values)
        for frames, variable, derivative in terms:
            self.rows.append(rows)
            self.columns.append(frames * 8 + variable)
            self.entries.append(np.broadcast_to(derivative, len(values)))

    def step(self):
        """The Gauss-Newton step (frames, 8)."""
        index = (np.concatenate(self.rows), np.concatenate(self.columns))
        jacobian = csr_matrix((np.concatenate(self.entries), index), shape=(self.n_rows, self.n_states))
        normal = (jacobian.T @ jacobian + 1e-6 * identity(self.n_states)).tocsc()
        return spsolve(normal, -jacobian.T @ np.concatenate(self.values)).reshape(-1, 8)


def settle(figure, style, foot, wanted, u, pelvis, fps, max_steps=12):
    """Hip path and leg angles that respect the floor.

    Gauss-Newton over all frames: squared deviation from the wanted angles (and of their second differences), jerkiness
    of the hips, height and slip of points in contact, swinging points too low. Weights are those of 25 Hz, scaled so
    that the solution hardly depends on the frame rate.

    Parameters
    ----------
    figure : Figure
    style : Style
    foot : dict of str to (float, float)
        Heel, ball and toe under the shoe, up and forward of the ankle with the foot flat, m.
    wanted : ndarray (time, side, 3)
        Thigh, knee and ankle, rad.
    u : ndarray (time, side)
        Phase of each side's cycle, 0 to 1.
    pelvis : dict of str to ndarray (time,)
        Tilt, obliquity and rotation, rad; sway, m.
    fps : float

    Returns
    -------
    path : ndarray (time, 2)
        Of the hips, forward and up, m.
    angles : ndarray (time, side, 3)
        As wanted, but settled.
    """
    legs = Legs(figure, style, pelvis)
    n = len(u)
    frames, inner = np.arange(n), np.arange(1, n - 1)
    dense = np.sqrt(25 / fps)  # so that sums over frames weigh as integrals over time
    bend = dense * (fps / 25) ** 2  # and second differences as second derivatives
    slip = np.sqrt(fps / 25)
    state = np.zeros((n, 8))
    state[:, 0] = 1.1 / fps * frames
    state[:, 1] = figure.leg_length_m - foot["heel"][0] - 0.02
    state[:, 2:] = wanted.reshape(n, 6)
    target = state[:, 2:].copy()
    resting = {"heel": HEEL_CONTACT, "ball": BALL_CONTACT}

    for iteration in range(max_steps):
        rows = _Residuals(8 * n)
        deviation = np.column_stack([state[:, :2], state[:, 2:] - target])
        for variable in range(8):
            sd = _SD_PATH_M if variable < 2 else _SD_ANGLE[(variable - 2) % 3]
            x = deviation[:, variable]
            if variable >= 2:
                rows.add(x * dense / sd, [(frames, variable, dense / sd)])
            w = bend / sd * (1 if variable < 2 else _SMOOTH)
            terms = [(inner - 1, variable, w), (inner, variable, -2 * w), (inner + 1, variable, w)]
            rows.add((x[:-2] - 2 * x[1:-1] + x[2:]) * w, terms)
        rows.add(10 * state[:1, 0], [(frames[:1], 0, 10.0)])  # the path begins at 0
        for side in (0, 1):
            for name, (first, last) in resting.items():
                y, z, dy, dz = legs.point(state, side, foot[name])
                down = (u[:, side] >= first) & (u[:, side] < last)
                m = frames[down]
                w = dense / _SD_CONTACT_M
                rows.add(y[m] * w, [(m, variable, d[m] * w) for variable, d in dy])
                # The same contact in two frames that follow one another: no slip between them.
                a = frames[:-1][down[:-1] & down[1:] & (u[1:, side] > u[:-1, side])]
                w = slip / _SD_CONTACT_M
                later = [(a + 1, variable, d[a + 1] * w) for variable, d in dz]
                rows.add((z[a + 1] - z[a]) * w, later + [(a, variable, -d[a] * w) for variable, d in dz])
            for name, clearance in _CLEARANCE_M.items():
                y, _, dy, _ = legs.point(state, side, foot[name])
                m = frames[(u[:, side] > BALL_CONTACT[1] + 0.03) & (y < clearance)]
                w = dense / _SD_CLEARANCE_M
                rows.add((y[m] - clearance) * w, [(m, variable, d[m] * w) for variable, d in dy])
        step = rows.step()
        state += step * (0.7 if iteration < 2 else 1.0)
        if np.abs(step).max() < 1e-5:
            break
    return state[:, :2], state[:, 2:].reshape(n, 2, 3)
